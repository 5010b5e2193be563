"""Which case of the certificate catches a planted defect, where it is not the first to be tried.

``python -m tests.unit.bench.certify.caught_by`` looks for them anew; tests try the other cases only
where the kept one no longer catches its defect.
"""

from __future__ import annotations

import json
from pathlib import Path

PATH = Path(__file__).resolve().parents[3] / "golden" / "caught_by.json"
CAUGHT_BY: dict[str, str] = json.loads(PATH.read_text(encoding="utf-8"))


def kept_first(name, cases):
    """Return cases with the one that is kept for a defect before the others."""
    return sorted(cases, key=lambda case: case.name != CAUGHT_BY.get(name))


def write() -> None:
    """Look for the case of every defect."""
    from tests.unit.bench.certify.test_gradients import DEFECTS, caught_gradient
    from tests.unit.bench.certify.test_planted_defects import ALL, caught

    CAUGHT_BY.clear()
    found = {name: caught(name) for name in ALL}
    found |= {f"{fault}, {dtype}": caught_gradient(fault, dtype) for fault, dtype in DEFECTS}
    text = json.dumps({k: v[1].name for k, v in found.items() if v and v[0]}, indent=1)
    PATH.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    # The module that the tests import, whose table is another than that of `__main__`.
    from tests.unit.bench.certify import caught_by

    caught_by.write()
