"""Report on a tiny transformer that learns to translate word by word: alignment heads."""

from __future__ import annotations

from attnpanel.training.settings import TrainingSettings
from reports.trained import TrainingReport

STEPS = 400

REPORT = TrainingReport(
    runs=(
        ("two layers", TrainingSettings(task="translation", steps=STEPS)),
        ("one layer", TrainingSettings(task="translation", steps=STEPS, layers=1)),
        ("no attention", TrainingSettings(task="translation", steps=STEPS, attends=False)),
    ),
    notes="""\
What they learn: six German words, a bar, and their English translation in the same order. Some words become two (Eis: ice cream), so that no fixed distance tells which word is next: the model must know how far it has come.

{results}

Read the rows below the bar: each is a word of the translation that looks back at the source. Where the picture is trained, the outlined cells form a staircase, the alignment that translation models with attention are known for (Bahdanau and others, arXiv 1409.0473). There, the rows belong to a decoder and the columns to an encoder; here, source and translation are one sequence, and the alignment is the block of its attention below the bar and left of it. Move the slider through {moment} to see it form.

Questions. Where does the staircase stay on a step for two words, and does “cream” need the source at all? In which layer is the alignment, and what does the other layer look at? What can the run without attention translate?
""",
)
