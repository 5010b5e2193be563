"""Prompts on the workers of a Dask scheduler: what a worker runs, and what it answers."""
