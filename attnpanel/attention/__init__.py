"""The NumPy reference of attention, the masks, and the validation of arguments."""
