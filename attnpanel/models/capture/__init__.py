"""Record a model's attention calls as a trace."""
