"""The `hpcmtl` command: one module per subcommand, which parses and delegates."""
