"""The bench's page: cards of a run, the error map, and starting a run, served or as one file."""
