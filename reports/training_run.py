"""Report on three tiny transformers that learn induction: four heads, one head, none."""

from __future__ import annotations

from attnpanel.training.settings import TrainingSettings
from reports.trained import TrainingReport

STEPS = 400

REPORT = TrainingReport(
    runs=(
        ("four heads a layer", TrainingSettings(steps=STEPS)),
        ("one head a layer", TrainingSettings(steps=STEPS, heads=1)),
        ("no attention", TrainingSettings(steps=STEPS, attends=False)),
    ),
    notes="""\
What they learn: a row of different letters comes again and again, A B … A, and after the second A the right letter is what followed the first. How long the row is differs from sequence to sequence, so no fixed distance tells the answer: it must be looked up.

{results}

Move the slider below the curves through {moment}. In the first layer heads learn to look at the token before; in the second they find the place after which the present token stood before (outlined in orange). The loss falls in the moment that both are there, not before: one is of no use without the other.

Questions. Does one head a layer learn it sooner or later than four, and why might that be? What can the run without attention still know, and what accuracy does that give? In which layer does a head look at the token before, and at which step does it begin to?
""",
)
