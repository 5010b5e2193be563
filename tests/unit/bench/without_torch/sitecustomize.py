"""Gives the worker processes of fake kernels no torch if their path has this folder."""

import sys
from pathlib import Path

words = " ".join(sys.orig_argv)
if "attnpanel.bench.run.worker" in words and "tests.unit." in words:
    sys.path.insert(0, str(Path(__file__).with_name("path")))
