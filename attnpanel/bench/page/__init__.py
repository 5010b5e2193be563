"""The page of the bench: cards of a run, error map and run control, served or as a file."""
