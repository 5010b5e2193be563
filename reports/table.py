"""The table of ready-made reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import (
    benchmark,
    indirect_object,
    live_decoder,
    live_prompt,
    on_picture,
    real_prompt,
    this_device,
    toy_lesson,
    training_run,
    translation,
    two_prompts,
    variants,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Report:
    """One ready-made report.

    Attributes
    ----------
    name : str
        Its name on the command line, and the file's name without extension.
    title : str
        The page's title.
    purpose : str
        One sentence on what it shows.
    build : callable
        Takes a path and the title, writes the report and returns the path.
    """

    name: str
    title: str
    purpose: str
    build: Callable[[Path, str], Path]


REPORTS: tuple[Report, ...] = (
    Report(
        "toy_lesson",
        "Attention in eight tokens",
        "A lesson: what score, softmax and mix do, with experiments to click and questions.",
        toy_lesson.build,
    ),
    Report(
        "real_prompt",
        "What “it” looks at",
        "One sentence through MiniLM, opened at a head in which “it” finds what it stands for.",
        real_prompt.build,
    ),
    Report(
        "live_prompt",
        "Type a sentence, see its attention",
        "MiniLM itself in one file of 61 MB: what a reader types is run in the page, without a "
        "network.",
        live_prompt.build,
    ),
    Report(
        "live_decoder",
        "Let a model write on, letter by letter",
        "A small GPT-2 in one file writes on: each letter with its attention and what else might have "
        "come.",
        live_decoder.build,
    ),
    Report(
        "two_prompts",
        "One word changed",
        "Two sentences that differ in one word, side by side, and the heads in which that changes "
        "what “it” looks at.",
        two_prompts.build,
    ),
    Report(
        "on_picture",
        "Attention on a picture",
        "A small vision model on a picture drawn by code: tap a patch and see which it looks at.",
        on_picture.build,
    ),
    Report(
        "benchmark",
        "Implementations of attention, certified and timed",
        "Which implementation is right, how wrong the others are, and which is fastest here: the "
        "newest recorded run.",
        benchmark.build,
    ),
    Report(
        "this_device",
        "Attention on this device",
        "The bench in a file: certifies and times attention in JavaScript, WebAssembly and WebGPU on "
        "the device that opens it.",
        this_device.build,
    ),
    Report(
        "training_run",
        "Learning to look back",
        "Three tiny transformers learn induction, one of them without attention: their curves, and the "
        "attention of one at every step.",
        training_run.REPORT.build,
    ),
    Report(
        "indirect_object",
        "Who is given the book",
        "A tiny transformer learns which of two names comes next: a head that reads the repeated "
        "name, and heads that bring the other one.",
        indirect_object.REPORT.build,
    ),
    Report(
        "translation",
        "Word by word",
        "A tiny transformer learns to translate, and an alignment forms in its attention.",
        translation.REPORT.build,
    ),
    Report(
        "variants",
        "Variants of attention and their price",
        "Multi-head, grouped, latent, windows and more on one example: who sees whom, what it costs "
        "for a model of any size, and the online softmax step by step.",
        variants.build,
    ),
)
