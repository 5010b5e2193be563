"""Format a result of `python -m bench load` as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.bench.product.tables import environment_lines, markdown, milliseconds, spread

if TYPE_CHECKING:
    from attnpanel.bench.product.load.results import LoadRun, PromptLoad


def load_table(run: LoadRun) -> str:
    """Return a run as Markdown: a column a page, and the sliders."""
    rows: list[list[str]] = [
        ["CPU-s of the server to open one", *(f"{spread(p.cpu_s).p50:.4f}" for p in run.pages)],
        [
            "request → first heatmap, s",
            *(f"{spread(p.first_heatmap_s).p50:.2f}" for p in run.pages),
        ],
        [
            "MB, first / second visit",
            *(f"{p.first_bytes / 1e6:.2f} / {p.second_bytes / 1e6:.3f}" for p in run.pages),
        ],
        ["pages at once", *(str(p.pages) for p in run.pages)],
        ["… until the last is open, s", *(f"{p.together_s:.1f}" for p in run.pages)],
        [
            "… others' ping meanwhile, ms: p50 / max",
            *(
                f"{milliseconds(spread(p.ping_s).p50)} / {milliseconds(max(p.ping_s))}"
                for p in run.pages
            ),
        ],
        [
            "… memory a page, MB",
            *(f"{(p.memory_bytes[1] - p.memory_bytes[0]) / p.pages / 1e6:.1f}" for p in run.pages),
        ],
        [
            "… left after all closed, of before",
            *(f"{p.memory_bytes[2] / p.memory_bytes[0] - 1:+.0%}" for p in run.pages),
        ],
    ]
    sliders = [
        [
            name,
            milliseconds(spread(slider.data_s).p50),
            milliseconds(spread(slider.paint_s).p50),
            milliseconds(spread(slider.paint_s).p95),
            str(slider.lost),
        ]
        for name, slider in run.sliders.items()
    ]
    tables = [
        markdown(["", *(page.name for page in run.pages)], rows),
        markdown(["token slider, ms", "data p50", "paint p50", "p95", "lost"], sliders),
        *([_prompt_table(run.prompts)] if run.prompts else []),
        environment_lines(run.environment),
    ]
    return "\n\n".join(tables)


def _prompt_table(prompts: PromptLoad) -> str:
    times = f"{prompts.pages} × {prompts.presses}"
    rows = [
        [f"{prompts.pages} prompts at once, s", f"{prompts.once_s:.2f}"],
        [f"{times} presses of Run, s", f"{prompts.pressed_s:.2f}"],
        ["most running / waiting", f"{prompts.running} / {prompts.waiting}"],
        ["threads, before / most", f"{prompts.threads_before} / {prompts.threads_most}"],
        [
            "others' ping, ms: p50 / max",
            f"{milliseconds(spread(prompts.ping_s).p50)} / {milliseconds(max(prompts.ping_s))}",
        ],
    ]
    return markdown(["prompts", ""], rows)
