"""The room of everything that a job leaves behind: run directory, ledger, results, and what is shown of them."""
