"""Implementations of attention, one a file, to be measured against the reference."""
