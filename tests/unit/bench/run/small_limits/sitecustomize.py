"""Gives every Python process whose path has this folder small limits to measure: 5 s are 0.2 s."""

from attnpanel.bench.measure import roofline
from tests.unit.bench.without_torch import sitecustomize  # noqa: F401 - of one name on the path

roofline.CPU_SIZES = (32, 64)
roofline.STEP_BYTES = (2**12, 2**16)
