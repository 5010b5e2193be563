"""Implementations in PyTorch."""
