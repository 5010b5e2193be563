"""A run of the bench: plan, child processes, samples, records, comparison."""
