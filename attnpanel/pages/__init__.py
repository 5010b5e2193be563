"""The served pages, each with its offline report beside it."""
