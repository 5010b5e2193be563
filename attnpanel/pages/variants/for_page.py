"""The tables of variants as plain data for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.attention.mask_rules import parse
from attnpanel.pages.variants.models import MODELS
from attnpanel.pages.variants.table import LAYOUTS, QUANTITIES, SIZES, VISIBILITIES
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from attnpanel.pages.variants.table import Layout, Visibility


def table_for_page() -> dict[str, Any]:
    """Return sizes, layouts, visibilities, quantities and models as plain data for the page.

    Each expression comes as its text, and as nested lists that the page evaluates without `eval`.
    """
    return {
        "sizes": [
            vars(size) | {"label": t(size.label), "description": t(size.description)}
            for size in SIZES
        ],
        "layouts": [{**_described(row), "counts": _counts_for_page(row.counts)} for row in LAYOUTS],
        "visibilities": [
            {
                **_described(row),
                "counts": _counts_for_page(row.counts),
                "rule": row.rule.for_page(),
                "values": {
                    name: list(value) if isinstance(value, tuple) else value
                    for name, value in row.example.items()
                },
                "sink": row.sink,
            }
            for row in VISIBILITIES
        ],
        "quantities": [
            {"name": row.name, "label": t(row.label), "unit": row.unit}
            | {"text": row.formula, "tree": parse(row.formula)}
            for row in QUANTITIES
        ],
        "models": [
            {
                "name": model.name,
                "title": t(model.title),
                "layout": model.layout,
                "visibility": model.visibility,
                "sizes": model.sizes,
                "own": list(model.own),
                "source": model.source,
            }
            for model in MODELS
        ],
    }


def _described(row: Layout | Visibility) -> dict[str, str]:
    texts = {"label": t(row.label), "description": t(row.description)}
    return {"name": row.name, **texts, "source": row.source}


def _counts_for_page(counts: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "text": text, "tree": parse(text)} for name, text in counts.items()]
