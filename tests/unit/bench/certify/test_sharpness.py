"""Sharpness is found by bisection: the least error that fails."""

import numpy as np
import pytest

from attnpanel.bench.certify import sharpness
from attnpanel.bench.certify.sharpness import Sharpness, measure_sharpness, sharpness_table


def test_the_least_error_fails_and_half_of_it_passes(monkeypatch):
    monkeypatch.setattr(sharpness, "ERRORS", {"x": sharpness._Trial.scaled_output})
    monkeypatch.setattr(sharpness, "REQUESTS", sharpness.REQUESTS[:1])

    (found,) = measure_sharpness("float16", "weights in float32")

    trial = sharpness._Trial(
        sharpness.find_implementation("numpy-row-blocked"),
        sharpness.Case(sharpness.replace(sharpness.REQUESTS[0], dtype="float16")),
    )
    assert trial.fails("x", found.least)
    assert not trial.fails("x", found.least / 2)
    # The issue asks for 0.5 % in float16.
    assert found.least < 5e-3


def test_an_implementation_that_lacks_the_dtype_is_an_error():
    with pytest.raises(ValueError, match="bfloat16"):
        sharpness._Trial(
            sharpness.find_implementation("numpy-naive"),
            sharpness.Case(sharpness.replace(sharpness.REQUESTS[0], dtype="bfloat16")),
        )


def test_the_table_says_where_nothing_was_found():
    errors = list(sharpness.ERRORS)
    found = [Sharpness("float16", "weights in float32", error, 1e-3) for error in errors[:-1]]

    table = sharpness_table([*found, Sharpness("float16", "weights in float32", errors[-1], None)])

    assert table.splitlines()[-1].count("1.0e-03") == len(errors) - 1
    assert "not found" in table
    np.testing.assert_equal(len(table.splitlines()), 3)
