"""Format a result of `python -m bench live` as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.bench.product.tables import environment_lines, markdown, milliseconds, spread

if TYPE_CHECKING:
    from attnpanel.bench.product.live.results import LiveRun


def live_table(run: LiveRun) -> str:
    """Return a run as Markdown: a row a mark."""
    rows = [
        ["size of the file, MB", f"{run.file_bytes / 1e6:.2f}", "61"],
        ["largest error of a weight", f"{run.max_weight_error:.2e}", "1.5e-03"],
        ["rows with the same largest weight", f"{run.same_largest / run.rows:.3%}", "99.9%"],
        [
            f"tokenized otherwise, of {run.texts} texts and {run.characters} characters",
            str(run.differing),
            "0",
        ],
        ["open → ready, s", f"{spread(run.ready_s).p50:.2f}", "2"],
        [
            "open → first heatmap, s; without a model",
            f"{spread(run.first_picture_s).p50:.2f}; "
            f"{spread(run.ordinary_first_picture_s).p50:.2f}",
            "",
        ],
    ]
    marks = {16: "60", 128: "150"}
    for typed in run.typed:
        name = f"Enter → picture, {typed.tokens} tokens, ms"
        rows.append([name, milliseconds(spread(typed.picture_s).p50), marks.get(typed.tokens, "")])
    table = markdown(["MiniLM in a report (medians)", "measured", "mark"], rows)
    about = environment_lines(run.environment)
    return "\n".join([table, "", f"Computed by {run.kernel}.", "", about])
