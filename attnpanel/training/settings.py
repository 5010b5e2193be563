"""The settings of a training run: every number that decides its result, validated."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from reprlib import repr as short
from typing import Any, Final

from attnpanel.attention.validation import check_choice, check_number
from attnpanel.training.tasks import TASK_NAMES

# Lowest and highest: what a visitor may ask of a server, and what two cores train in minutes.
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "heads": (1, 16),
    "d_model": (8, 256),
    "layers": (1, 6),
    "steps": (10, 20_000),
    "batch": (1, 256),
    "seed": (0, 2**31 - 1),
}
LEARNING_RATES: Final = (1e-6, 1.0)
MAX_JSON: Final = 10_000


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a run's result; equal settings give equal results on one CPU.

    Attributes
    ----------
    task : str
        A name in :data:`attnpanel.training.tasks.TASK_NAMES`.
    heads : int
        Attention heads a layer; divides `d_model`.
    d_model : int
        Channels of the residual stream.
    layers : int
    steps : int
        Steps of the optimiser.
    learning_rate : float
        Learning rate of AdamW, after its warm-up.
    batch : int
        Sequences a step.
    seed : int
        Seed of the initial weights and of the examples.
    attends : bool
        False removes attention: the baseline that sees one token only.

    Raises
    ------
    ValueError
        If a value breaks its rule. The message names the setting, the rule and the value.
    """

    task: str = "induction"
    heads: int = 4
    d_model: int = 64
    layers: int = 2
    steps: int = 600
    learning_rate: float = 1e-3
    batch: int = 32
    seed: int = 0
    attends: bool = True

    def __post_init__(self) -> None:
        check_choice("task", self.task, TASK_NAMES)
        for name, (low, high) in BOUNDS.items():
            number = getattr(self, name)
            if type(number) is not int or not low <= number <= high:
                raise ValueError(
                    f"{name} must be an integer from {low} to {high}; got {short(number)}"
                )
        check_number("learning_rate", self.learning_rate)
        low_rate, high_rate = LEARNING_RATES
        if not low_rate <= self.learning_rate <= high_rate:
            raise ValueError(
                f"learning_rate must be from {low_rate:g} to {high_rate:g}; "
                f"got {self.learning_rate:g}"
            )
        if self.d_model % self.heads:
            raise ValueError(
                f"heads must divide d_model; got {self.heads} heads for d_model {self.d_model}"
            )
        if type(self.attends) is not bool:
            raise ValueError(f"attends must be true or false; got {short(self.attends)}")

    def to_json(self) -> str:
        """Return the settings as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainingSettings:
        """Parse what :meth:`to_json` returned; the text is not trusted.

        Raises
        ------
        ValueError
            If it is not the JSON of valid settings.
        """
        if len(text) > MAX_JSON:
            raise ValueError(f"a run's settings must have at most {MAX_JSON} characters of JSON")
        try:
            parsed: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"a run's settings must be JSON; got {short(text)}") from None
        names = {field.name for field in fields(cls)}
        if not isinstance(parsed, dict) or set(parsed) != names:
            got = sorted(map(str, parsed)) if isinstance(parsed, dict) else parsed
            raise ValueError(f"a run's settings must have {sorted(names)}; got {short(got)}")
        return cls(**parsed)

    @property
    def title(self) -> str:
        """Return a short description that distinguishes runs."""
        if not self.attends:
            heads = f"{self.layers} layers without attention"
        else:
            heads = f"{self.layers} × {self.heads} heads"
        return f"{self.task} · {heads} · d {self.d_model} · seed {self.seed}"
