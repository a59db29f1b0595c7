"""Layer plans: ranks, width and time of every task, by pure functions over arrays, with numpy only."""
