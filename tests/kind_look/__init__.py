"""A tenth kind: looks at a guess from time to time, and may ask for another."""
