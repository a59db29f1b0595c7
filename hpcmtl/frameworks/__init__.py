"""Deep-learning frameworks by name, and the device of a rank; imports no framework."""
