"""Train a tiny transformer: tasks, settings, the training loop, and a store of runs."""
