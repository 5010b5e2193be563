"""The explorer's page and its report."""
