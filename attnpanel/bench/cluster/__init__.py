"""Runs on several processes or machines: Dask workers and ring attention."""
