"""Histories for the planner: read from a chain or a file, and written with where they are from beside them."""
