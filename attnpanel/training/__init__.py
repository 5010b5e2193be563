"""Training a tiny transformer: tasks, settings, the training itself, and where runs are kept."""
