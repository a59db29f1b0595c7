"""Other ways to run a family of tasks, with the same training code."""
