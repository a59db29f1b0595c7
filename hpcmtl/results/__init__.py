"""What a job leaves behind: its run directory, its ledger, its results and what a person sees meanwhile."""
