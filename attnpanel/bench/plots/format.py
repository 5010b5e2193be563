"""Format numbers and names for plots, with bounded length."""

from __future__ import annotations

from math import isfinite

# A file may contain any integer; one of 400 digits overflows a float.
LARGEST = 1e30
TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
RATES = ((1e15, "PFLOP/s"), (1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s"), (1.0, "FLOP/s"))


def seconds(value: float) -> str:
    """Format a time: ``"1.3 ms"``.

    Examples
    --------
    >>> seconds(0.00134), seconds(2.0), seconds(4.56e-5)
    ('1.3 ms', '2.0 s', '46 µs')
    """
    return _scaled(value, TIMES)


def size(value: float) -> str:
    """Format a memory size in powers of 1000: ``"384 MB"``."""
    return _scaled(value, SIZES)


def rate(value: float) -> str:
    """Format operations per second: ``"93 GFLOP/s"``."""
    return _scaled(value, RATES)


def ratio(value: float | None) -> str:
    """Format an error in units in at most five characters; a dash for None.

    Examples
    --------
    >>> ratio(0.04), ratio(3.14), ratio(106.2), ratio(38812.0), ratio(3e7), ratio(None)
    ('0.0', '3.1', '106', '39k', '>1M', '–')
    """
    if value is None or not isfinite(value):
        return "–"
    if value < 9.95:
        return f"{value:.1f}"
    if value < 999.5:
        return f"{value:.0f}"
    return f"{value / 1000:.0f}k" if value < 1e6 else ">1M"


def bounded(text: str, max_length: int) -> str:
    """Truncate untrusted text and replace unprintable characters by dots."""
    printable = "".join(
        letter if letter.isprintable() else "·" for letter in str(text)[: max_length + 1]
    )
    return printable if len(printable) <= max_length else printable[: max_length - 1] + "…"


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    value = min(value, LARGEST)
    factor, unit = next((scale for scale in units if value >= scale[0] * 0.9995), units[-1])
    number = value / factor
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"
