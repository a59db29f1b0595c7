"""Small numerical problems that weightings solve, of as many unknowns as objectives; numpy only."""
