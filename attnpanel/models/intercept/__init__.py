"""Intercept the attention calls of a PyTorch model; capture and intervene both use it."""
