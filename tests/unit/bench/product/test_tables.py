"""Tables compared with values computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.measure.environment import Environment
from attnpanel.bench.product.tables import Spread, spread, ui_table
from attnpanel.bench.run.serialization import Interaction, UiRun, write

RUN = UiRun(
    schema="attnpanel.bench-ui/2",
    preset="quick",
    environment=Environment(
        date_utc="2026-01-02T03:04:05+00:00",
        commit="0123456789abcdef",
        dirty=True,
        cpu_model="Abacus",
        cores=4,
        memory_bytes=3 * 2**29,
        os="Linux",
        python="CPython 3.11.7",
        versions={"numpy": "2.0", "panel": "1.9"},
        browser="Chromium 1",
        thread_variables={},
        load_before=(0.5, 0.25, 0.125),
        load_after=None,
    ),
    interactions=(
        Interaction(
            query_len=512,
            control="head",
            source="attn:weights",
            plots=("weights",),
            data_s=(0.010, 0.020, 0.030, 0.040, 0.050),
            paint_s=(0.100, 0.300, 0.200, 0.500, 0.400),
            lost=2,
            pixels_changed=False,
        ),
    ),
    picture_tap_s={"1024": (0.030, 0.020, 0.040)},
    address_s=(2.0, 4.0),
    first_paint_s=(5.25,),
    import_s={"pass": (0.02, 0.03, 0.01)},
)
# Of 10 … 50 ms the median is 30; the 95th percentile lies 0.95 · 4 = 3.8 steps up: 48. Of
# 2 and 4 s the median is 3. Of 20, 30 and 40 ms the 95th lies 1.9 steps up: 39.
EXPECTED = """\
|   T | slider | data p50 | p95 | min | max | paint p50 | p95 | min | max |   n | lost | pixels |
| --: | -----: | -------: | --: | --: | --: | --------: | --: | --: | --: | --: | ---: | -----: |
| 512 |   head |       30 |  48 |  10 |  50 |       300 | 480 | 100 | 500 |   5 |    2 |     NO |

Milliseconds from the key press to the new data in the browser, and to the new picture on screen. \
Lost: presses that showed nothing. Pixels: seen to have changed by then.

| patches | tap p50 | p95 | min | max |   n |
| ------: | ------: | --: | --: | --: | --: |
|   1,024 |      30 |  39 |  20 |  40 |   3 |

Milliseconds from a tap on the picture to its heat on screen.

|                           seconds | median |  min |  max |   n |
| --------------------------------: | -----: | ---: | ---: | --: |
|   `attnpanel serve` → its address |   3.00 | 2.00 | 4.00 |   2 |
| `attnpanel serve` → first heatmap |   5.25 | 5.25 | 5.25 |   1 |
|                `python -c "pass"` |   0.02 | 0.01 | 0.03 |   3 |

- Abacus, 4 cores, 1.5 GiB; Linux; Chromium 1
- CPython 3.11.7; numpy 2.0, panel 1.9
- 2026-01-02T03:04:05+00:00, 0123456789ab with changes; load 0.50 before, unknown after"""
NOISY = "**Noisy**: the load was above the number of cores before the run began."


def test_percentiles_are_interpolated_between_samples():
    # Ordered 1 2 3 4: the median lies halfway from 2 to 3; 0.95 of the three steps is 2.85 steps.
    assert spread([4.0, 1.0, 3.0, 2.0]) == Spread(2.5, pytest.approx(3.85), 1.0, 4.0, 4)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0, 7.0, 1)


def test_the_table_of_a_sample_run():
    assert ui_table(RUN) == EXPECTED


def test_a_noisy_run_says_so():
    loaded = replace(RUN, environment=replace(RUN.environment, load_before=(4.5, 4.0, 3.0)))

    assert NOISY not in ui_table(RUN)
    assert NOISY in ui_table(loaded)


def test_the_command_prints_the_table_of_a_file(tmp_path, capsys):
    write(RUN, tmp_path / "run.json")

    assert main(["ui", "--table", str(tmp_path / "run.json")]) == 0
    assert capsys.readouterr().out == EXPECTED + "\n"


@pytest.mark.parametrize("content", [None, "{"])
def test_an_invalid_file_is_one_line_of_error(tmp_path, capsys, content):
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)

    assert main(["ui", "--table", str(path)]) == 1
    stderr = capsys.readouterr().err
    assert stderr.startswith("bench: ")
    assert str(path) in stderr
    assert stderr.count("\n") == 1
