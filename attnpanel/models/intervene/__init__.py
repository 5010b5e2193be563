"""Change the attention of chosen heads, and measure what that does."""
