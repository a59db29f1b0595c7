"""Plans for people: tables, charts, explanations, files and checks."""
