"""The comparison suite: `python -m bench`. Never imported by attnpanel."""
