"""The page of variants of attention and their price, and its report."""
