"""Where prompts run: in the server's own threads, or on the workers of a Dask scheduler."""
