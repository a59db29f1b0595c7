"""The `hpcmtl` command: one module a verb; each parses and delegates."""
