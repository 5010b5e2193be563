"""The explorer of a trace: its state, selection, views and page bridge."""
