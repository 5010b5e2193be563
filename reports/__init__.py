"""Ready-made reports, one module each; `python -m reports` builds them as HTML files."""
