"""Measurements of the product: the page, captures, reports and their peers."""
