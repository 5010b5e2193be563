"""Clocks, memory, and the machine that a measurement was made on."""
