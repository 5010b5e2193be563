"""Sizes that are made from a case: who is asked for them, and when they end."""

from dataclasses import replace

import pytest

from attnpanel.bench import certify
from attnpanel.bench.certify import checks_sizes
from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.long_cases import FEW_HEADS, OTHER_QUERIES
from tests.unit.bench.certify.planted_defects import BASE

LENGTHS = Case(OTHER_QUERIES[0])


def made(implementation, case, name):
    return [check for check in certify(implementation, case).checks if check.name == name]


@pytest.mark.parametrize(
    ("case", "name"), [(Case(FEW_HEADS), "many heads"), (LENGTHS, "other lengths")]
)
def test_what_compiles_for_each_request_is_not_asked_for_many_sizes(case, name):
    assert made(replace(BASE, compiles=True), case, name) == []


def test_lengths_end_in_time_and_say_how_many_were_tried(monkeypatch):
    monkeypatch.setattr(checks_sizes, "LIMIT_CPU_S", -1.0)

    (check,) = made(BASE, LENGTHS, "other lengths")

    assert (check.verdict, check.detail) == (
        "pass",
        "made of 0 lengths of 128, in the time allowed",
    )
