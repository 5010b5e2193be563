"""Load models, run texts through them, and capture or change their attention."""
