"""The page's own attention, run by Node.js."""
