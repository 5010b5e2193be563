"""Documents of notes that must be refused, for the Python reader and the page's alike."""

from __future__ import annotations

from typing import Any

GOOD: dict[str, Any] = {
    "kind": "cell",
    "layer": 1,
    "head": 2,
    "batch": 0,
    "query_index": 4,
    "key_index": 3,
    "text": "it → trophy",
    "query": "it",
    "key": "trophy",
    "address": "layer=1&head=2&token=4",
    "created": "2026-01-31T23:59:00.123Z",
}
# [batch, heads, queries, keys] of two layers.
EXTENTS = [[1, 3, 5, 5], [1, 3, 5, 7]]


def document(*notes: object, schema: object = "attnpanel.notes/1") -> dict[str, Any]:
    return {"schema": schema, "notes": list(notes)}


def changed(**fields: object) -> dict[str, Any]:
    return document({**GOOD, **fields})


def without(name: str) -> dict[str, Any]:
    return document({key: value for key, value in GOOD.items() if key != name})


# By what is wrong: the document, and words that the refusal holds.
BAD: dict[str, tuple[object, str]] = {
    "a list": ([GOOD], "must be a JSON object"),
    "nothing": (None, "must be a JSON object"),
    "another schema": (document(GOOD, schema="attnpanel.notes/2"), "schema"),
    "no schema": ({"notes": []}, "schema"),
    "notes by name": ({"schema": "attnpanel.notes/1", "notes": {"0": GOOD}}, "must be a list"),
    "no notes": ({"schema": "attnpanel.notes/1"}, "must be a list"),
    "too many notes": (document(*[GOOD] * 1001), "at most 1000 notes; got 1001"),
    "a million notes": (document(*[0] * 1_000_000), "at most 1000 notes; got 1000000"),
    "a text as note": (document(GOOD, "note"), "note 2"),
    "another kind": (changed(kind="column"), "note 1: kind must be one of"),
    "a kind that every object has": (changed(kind="constructor"), "kind must be one of"),
    "a list as kind": (changed(kind=["cell"]), "kind must be one of"),
    "a negative layer": (changed(layer=-1), "layer must be an integer from 0"),
    "half a layer": (changed(layer=0.5), "layer must be an integer from 0"),
    "a layer as text": (changed(layer="1"), "layer must be an integer from 0"),
    "true as head": (changed(head=True), "head must be an integer from 0"),
    "a huge head": (changed(head=10**18), "head must be an integer from 0"),
    "a layer beyond the trace": (changed(layer=2), "layer must be below 2 here; got 2"),
    "a head beyond the layer": (changed(head=3), "head must be below 3 here; got 3"),
    "a batch beyond the trace": (changed(batch=1), "batch must be below 1 here; got 1"),
    "a query beyond the layer": (changed(query_index=5), "query_index must be below 5 here"),
    "a key beyond the layer": (changed(key_index=7), "key_index must be below 7 here"),
    "a cell without a key": (without("key_index"), "key_index"),
    "a note without a head": (without("head"), "head"),
    "a note without words": (without("text"), "text"),
    "a note without a time": (without("created"), "created"),
    "a number as words": (changed(text=7), "text must be text"),
    "too many words": (changed(text="x" * 4001), "text must have at most 4000 characters"),
    "a long token": (changed(key="x" * 201), "key must have at most 200 characters"),
    "a long address": (changed(address="x" * 1001), "address must have at most 1000 characters"),
    "half a character": (changed(text="\ud83d"), "UTF-8"),
    "no time": (changed(created="yesterday"), "created must"),
    "a time without its zone": (changed(created="2026-01-31T23:59:00"), "created must"),
    "a day that is none": (changed(created="2026-02-30T23:59:00Z"), "created must"),
    "the year 0": (changed(created="0000-01-31T23:59:00Z"), "created must"),
    "a week's day": (changed(created="2026-W05-6T23:59:00Z"), "created must"),
}
