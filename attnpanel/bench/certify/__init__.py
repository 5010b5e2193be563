"""Certificates: checks that an implementation computes attention correctly."""
