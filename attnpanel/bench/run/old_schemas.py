"""Convert the content of older result files of `python -m bench run` to the present schema."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from attnpanel.bench.run.records import RUN_SCHEMA, Agreement, Limits, Timing

# Version 6 lacks a request's `direction` and an agreement's `grade`, version 5 also `gradients`,
# version 4 also `page_faults`, `processes`, `prepare_s`, `judged` of a timing, and `steps` of
# limits, version 3 also a request's `mask_options`, version 2 also `copy_yardstick_s`, version 1
# also `waited_s` and `yardstick_s`. They are read with these empty.
OLD_SCHEMAS: Final = tuple(f"attnpanel.bench-run/{number}" for number in range(1, 7))
ADDED: Final = {
    *("waited_s", "yardstick_s", "copy_yardstick_s"),
    *("page_faults", "processes", "prepare_s", "judged"),
    *("gemm_yardstick_s", "steps"),
    "grade",
}
ADDED_TO_REQUESTS: Final = {"mask_options": [], "direction": "forward"}


def upgraded(content: Any) -> Any:
    """Return the content of a file in the present schema; what is damaged stays as it is."""
    if not (isinstance(content, dict) and content.get("schema") in OLD_SCHEMAS):
        return content
    changed: dict[str, Any] = {"gradients": [], **content, "schema": RUN_SCHEMA}
    for name, kind in (("agreements", Agreement), ("timings", Timing), ("limits", Limits)):
        if isinstance(rows := content.get(name), list):
            changed[name] = [_with_defaults(row, kind) for row in rows]
    if isinstance(cases := content.get("cases"), list):
        changed["cases"] = [_with_request(case) for case in cases]
    return changed


def _with_defaults(content: Any, kind: type) -> Any:
    """Add the fields of `ADDED` that the content of an older file lacks."""
    if not isinstance(content, dict):
        return content
    added = {
        field.name: list(field.default) if isinstance(field.default, tuple) else field.default
        for field in fields(kind)
        if field.name in ADDED
    }
    return {**added, **content}


def _with_request(case: Any) -> Any:
    """Add the fields that the request of an older file's case lacks."""
    request = case.get("request") if isinstance(case, dict) else None
    if not isinstance(request, dict):
        return case
    return {**case, "request": {**ADDED_TO_REQUESTS, **request}}
