"""What a finished report computes and draws is what Python does, whatever is chosen."""

from __future__ import annotations

import random

import numpy as np
import pytest

from attnpanel.explorer.state import ExplorerState
from tests.browser.report_page import go
from tests.browser.report_pictures import assert_shows, image
from tests.browser.report_traces import stored

pytest_plugins = ["tests.browser.reports"]

# Each trace and each dtype; float16, which is the default, in the pages of the other tests.
REPORTS = [
    ("toy", {"dtype": "float32"}),
    ("kinds", {}),
    pytest.param("minilm", {}, marks=pytest.mark.model),
]
STEPS = 6


def check_states(opened, dtype, count, layers=None):
    """Draw every choice anew so many times, the same ones in every run."""
    draw = random.Random(dtype)  # noqa: S311 - nothing is kept secret
    trace = stored(opened.trace, dtype)
    for _ in range(count):
        state = random_state(draw, trace, draw.choice(layers or range(len(trace.calls))))
        go(opened.page, state)
        assert_shows(opened.page, state)


def random_state(draw, trace, layer):
    state = ExplorerState(trace, layer=layer)
    numbers = ("head", "batch", "query_index", "pad_len", "window")
    names = ("mask", "align", "empty_rows", "weight_scale")
    state.choose(
        **{name: draw.randint(*state.param[name].bounds) for name in numbers},
        **{name: draw.choice(state.param[name].objects) for name in names},
        aggregate=draw.random() < 0.25,
        skip_first=draw.random() < 0.25,
        temperature=10 ** draw.uniform(-1, 1),
        color_seed=draw.randint(0, 19),
    )
    return state


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(("name", "options"), REPORTS)
def test_a_report_shows_what_python_draws(on_screen, name, options):
    opened = on_screen(name, **options)
    dtype, layers = options.get("dtype", "float16"), range(len(opened.trace.calls))
    if name == "kinds":
        for layer in layers:
            check_states(opened, dtype, STEPS // 3, [layer])
    else:
        check_states(opened, dtype, STEPS)


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    ("name", "options", "within"),
    # Of float16, both factors of q·k are off in their 11th bit: 1.6e-3 was measured.
    [
        ("toy", {}, 2e-3),
        ("toy", {"dtype": "float32"}, 1e-6),
        pytest.param("minilm", {}, 2e-3, marks=pytest.mark.model),
    ],
)
def test_weights_are_those_of_the_trace(on_screen, name, options, within):
    opened = on_screen(name, **options)
    trace = opened.trace
    for layer in range(len(trace.calls)):
        state = ExplorerState(trace, layer=layer, head=(2 * layer + 1) % trace.calls[layer].heads)
        go(opened.page, state)
        made = image(opened.page, "weights")
        np.testing.assert_allclose(made, state.selection.weights, rtol=0, atol=within)
