"""Output of plans: tables, charts, explanations, files and the independent check."""
