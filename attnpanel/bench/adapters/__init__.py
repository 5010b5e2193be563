"""Attention of other libraries as plain functions: never run by us, who have no such GPU."""
