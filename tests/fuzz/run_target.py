"""One target under atheris, which ends the process: started by run.py."""

from __future__ import annotations

import sys

import atheris

PARSERS = ["attnpanel.trace", "attnpanel.explorer", "attnpanel.attention", "attnpanel.bench.run"]
with atheris.instrument_imports(include=PARSERS):
    from tests.fuzz.targets import TARGETS

name, *rest = sys.argv[1:]
atheris.Setup([sys.argv[0], *rest], TARGETS[name])
atheris.Fuzz()
