"""Long operations: each carried alone, by a function of its own, beside the converge of its host."""
