"""What a server takes to open pages: `python -m bench load`."""
