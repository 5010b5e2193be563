"""Implementations in NumPy."""
