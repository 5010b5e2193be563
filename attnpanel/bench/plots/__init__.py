"""The bench's pictures: what a run holds as plain columns, and HoloViews elements made of them."""
