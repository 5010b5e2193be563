"""A head as a figure for a paper: SVG, PDF or PNG, drawn by matplotlib without a browser."""
