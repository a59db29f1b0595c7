"""Who runs where, how wide and when: pure functions over arrays, numpy only."""
