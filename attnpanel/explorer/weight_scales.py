"""The table of colour scales: how a weight becomes a colour, and where a scale ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

# A scale's end is one of these times a power of ten, so that it can be read and seldom moves.
ROUND_NUMBERS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
# A scale ends no lower: what is left where a sink takes all is no pattern.
LEAST_PEAK = 1e-6
# A number rounded to float32 may lie this part above a round one.
FLOAT32 = 1e-6
# Rounding leaves a weight this much above 1.
ROUNDING = 1e-3


@dataclass(frozen=True)
class WeightScale:
    """One colour scale of the weights.

    Attributes
    ----------
    name : str
        As the state and links have it.
    label : str
        On the control.
    caption : str
        What the title above the weights says of it.
    power : float
        A weight at a part p of the scale has the colour at ``p ** power`` of the ramp.
    ends : {"one", "own", "row"}
        Where the scale ends: at 1, whatever is shown, at the largest weight shown, or at the
        largest of each row. Bars end at 1 in the first case, else at their own largest.
    """

    name: str
    label: str
    caption: str
    power: float = 1.0
    ends: Literal["one", "own", "row"] = "one"


WEIGHT_SCALES: tuple[WeightScale, ...] = (
    WeightScale("square root", "√, 0–1", "each row sums to 1", power=0.5),
    WeightScale("linear", "linear, 0–1", "each row sums to 1"),
    WeightScale("own", "own scale", "own scale, up to the largest weight", power=0.5, ends="own"),
    WeightScale("per row", "per row", "colour relative to its row", ends="row"),
)


def find_scale(name: str) -> WeightScale:
    """Return the scale of a name.

    Raises
    ------
    ValueError
        If there is none.
    """
    for row in WEIGHT_SCALES:
        if row.name == name:
            return row
    names = ", ".join(row.name for row in WEIGHT_SCALES)
    raise ValueError(f"a colour scale must be one of {names}; got {name!r}")


def power_name(power: float) -> str:
    """Return the name under which the page finds the ramp of a power."""
    return f"{power:g}"


def scales_for_page() -> list[dict[str, Any]]:
    """Return the table as plain data, with each ramp's name as its power."""
    return [asdict(row) | {"ramp": power_name(row.power)} for row in WEIGHT_SCALES]


def round_up(peak: float) -> float:
    """Return the end of a scale that holds `peak`: the next round number, 1 for next to nothing.

    Examples
    --------
    >>> round_up(5.21), round_up(0.013), round_up(0.0)
    (6.0, 0.015, 1.0)
    """
    if not peak >= LEAST_PEAK:
        return 1.0
    mantissa, exponent = f"{peak:.16e}".split("e")
    end = next(number for number in ROUND_NUMBERS if number >= float(mantissa) * (1 - FLOAT32))
    return float(f"{end}e{exponent}")


def weights_end(peak: float, *, held: bool) -> float:
    """Return where a scale of weights ends whose largest is `peak`: held ones at 1 if they can."""
    least = 0.0 if held else 1.0
    return 1.0 if least < peak <= 1 + ROUNDING or not peak else round_up(peak)
