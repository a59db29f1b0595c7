"""How the gradients of a group are combined: one module an engine, one contract for all."""
