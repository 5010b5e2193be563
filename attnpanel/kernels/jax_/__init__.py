"""Implementations in JAX."""
