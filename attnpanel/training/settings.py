"""What a run is made with: every number that decides its result, checked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from reprlib import repr as short
from typing import Any, Final

from attnpanel.rules import check_choice, check_number
from attnpanel.training.tasks import TASK_NAMES

# Least and most: what a visitor may ask of a server, and what trains on two cores while one waits.
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "heads": (1, 16),
    "d_model": (8, 256),
    "layers": (1, 6),
    "steps": (10, 20_000),
    "batch": (1, 256),
    "seed": (0, 2**31 - 1),
}
LEARNING_RATES: Final = (1e-6, 1.0)
MOST_JSON: Final = 10_000


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a run's result; on one machine's CPU the same gives the same.

    Attributes
    ----------
    task : str
        A name in `attnpanel.training.tasks.TASKS`.
    heads : int
        Attention heads a layer; divides `d_model`.
    d_model : int
        Channels of the residual stream.
    layers : int
    steps : int
        Steps of the optimiser.
    learning_rate : float
        Of AdamW, after its warm-up.
    batch : int
        Sequences a step.
    seed : int
        Of the first weights and of the examples.
    attends : bool
        False leaves attention out: the baseline that sees one token only.

    Raises
    ------
    ValueError
        If a value breaks its rule; the message names it, the rule and what came.
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
        for name, (least, most) in BOUNDS.items():
            number = getattr(self, name)
            if type(number) is not int or not least <= number <= most:
                raise ValueError(
                    f"{name} must be a whole number from {least} to {most}; got {short(number)}"
                )
        check_number("learning_rate", self.learning_rate)
        least_rate, most_rate = LEARNING_RATES
        if not least_rate <= self.learning_rate <= most_rate:
            raise ValueError(
                f"learning_rate must be from {least_rate:g} to {most_rate:g}; "
                f"got {self.learning_rate:g}"
            )
        if self.d_model % self.heads:
            raise ValueError(
                f"heads must divide d_model; got {self.heads} heads for d_model {self.d_model}"
            )
        if type(self.attends) is not bool:
            raise ValueError(f"attends must be true or false; got {short(self.attends)}")

    def to_json(self) -> str:
        """Return the settings as a JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainingSettings:
        """Read what :meth:`to_json` wrote, as from a file that somebody else may have written.

        Raises
        ------
        ValueError
            If it is anything else.
        """
        if len(text) > MOST_JSON:
            raise ValueError(f"a run's settings must be at most {MOST_JSON} characters of JSON")
        try:
            read: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"a run's settings must be JSON; got {short(text)}") from None
        names = {field.name for field in fields(cls)}
        if not isinstance(read, dict) or set(read) != names:
            got = sorted(map(str, read)) if isinstance(read, dict) else read
            raise ValueError(f"a run's settings must have {sorted(names)}; got {short(got)}")
        return cls(**read)

    @property
    def title(self) -> str:
        """A short name that tells runs apart."""
        if not self.attends:
            heads = f"{self.layers} layers without attention"
        else:
            heads = f"{self.layers} × {self.heads} heads"
        return f"{self.task} · {heads} · d {self.d_model} · seed {self.seed}"
