"""Read and write result files: frozen dataclasses as JSON, validated on reading."""

from __future__ import annotations

import json
import math
import types
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from attnpanel.bench.measure.environment import Environment  # noqa: TC001 - get_type_hints looks it up
from attnpanel.trace.atomic_write import atomic_write_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UI_SCHEMA: Final = "attnpanel.bench-ui/2"
Samples = tuple[float, ...]
Run = TypeVar("Run")
ControlName = Literal["token", "temperature", "head", "aggregate"]


class ResultFileError(ValueError):
    """A result file that is damaged, or of another schema."""


@dataclass(frozen=True)
class Interaction:
    """Latencies of one control at one sequence length.

    Attributes
    ----------
    query_len : int
        T, which is also the number of keys.
    control : {"token", "temperature", "head", "aggregate"}
    source : str
        Name of the data source whose first change ends `data_s`.
    plots : tuple of str
        Names of the plots; `paint_s` ends two frames after the last repaint of them.
    data_s, paint_s : tuple of float
        Seconds from each key press, in order.
    lost : int
        Number of presses that had no visible effect and were repeated.
    pixels_changed : bool
        Whether each plot's canvas had changed when `paint_s` ended, and did not change afterwards.
    """

    query_len: int
    control: ControlName
    source: str
    plots: tuple[str, ...]
    data_s: Samples
    paint_s: Samples
    lost: int
    pixels_changed: bool

    def __post_init__(self) -> None:
        check_seconds("data_s", self.data_s)
        check_seconds("paint_s", self.paint_s)
        if len(self.data_s) != len(self.paint_s):
            raise ValueError(
                "data_s and paint_s must have the same length; "
                f"got {len(self.data_s)} and {len(self.paint_s)}"
            )


@dataclass(frozen=True)
class UiRun:
    """One run of `python -m bench ui`.

    Attributes
    ----------
    schema, preset : str
    environment : Environment
    interactions : tuple of Interaction
    picture_tap_s : dict of str to tuple of float
        Seconds from each tap on a picture until its heat is on screen, by its number of patches.
    address_s : tuple of float
        Seconds from starting `attnpanel serve` until it prints its address.
    first_paint_s : tuple of float
        `address_s` plus the seconds from opening the page to its first heatmap on screen.
    import_s : dict of str to tuple of float
        Lifetime of fresh processes, by the statement that they run.
    """

    schema: Literal["attnpanel.bench-ui/2"]
    preset: str
    environment: Environment
    interactions: tuple[Interaction, ...]
    picture_tap_s: dict[str, Samples]
    address_s: Samples
    first_paint_s: Samples
    import_s: dict[str, Samples]

    def __post_init__(self) -> None:
        check_seconds("address_s", self.address_s)
        check_seconds("first_paint_s", self.first_paint_s)
        for name in ("import_s", "picture_tap_s"):
            for key, seconds in getattr(self, name).items():
                check_seconds(f"{name}[{key!r}]", seconds)

    @classmethod
    def upgrade(cls, content: Any) -> Any:
        """Convert the content of a file of version 1, which has no taps."""
        if isinstance(content, dict) and content.get("schema") == "attnpanel.bench-ui/1":
            return {"picture_tap_s": {}, **content, "schema": UI_SCHEMA}
        return content


def write(run: Any, path: Path) -> None:
    """Write a run as JSON, atomically.

    Parameters
    ----------
    run : UiRun or another run's frozen dataclass
    path : path
        Its folder is created if absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(run), indent=1, allow_nan=False)
    atomic_write_text(path, [text, "\n"])


def read(path: Path, kind: type[Run]) -> Run:
    """Read a run that :func:`write` wrote.

    Parameters
    ----------
    path : path
    kind : type
        The run's dataclass. Its `schema` names the version it reads; a class method `upgrade`, if
        there is one, converts the content of older versions.

    Raises
    ------
    ResultFileError
        If the file is damaged or of another schema; the message names the field.
    OSError
        If it can't be read.
    """
    try:
        content = json.loads(path.read_bytes())
        upgrade: Callable[[Any], Any] = getattr(kind, "upgrade", lambda same: same)
        content = upgrade(content)
        _check_schema(content, kind)
        run = build(kind, content, "run")
    except (ValueError, RecursionError, OverflowError) as error:
        raise ResultFileError(f"{path} is not a result of the bench: {error}") from None
    assert isinstance(run, kind)  # noqa: S101 - for mypy: build makes what it was asked for
    return run


def _check_schema(content: Any, kind: type) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None
    (expected,) = get_args(get_type_hints(kind)["schema"])
    if schema != expected:
        raise ValueError(f"schema must be {expected!r}; got {str(schema)[:60]!r}")


def check_seconds(name: str, seconds: Samples) -> None:
    """Raise ValueError unless these are finite, non-negative seconds, at least one."""
    if not seconds or not all(math.isfinite(value) and value >= 0 for value in seconds):
        raise ValueError(f"{name} must hold finite seconds, 0 or more, at least one; got {seconds}")


def build(kind: Any, content: Any, where: str) -> Any:
    """Convert JSON content to the annotated type; a ValueError names the field that differs."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if content is None:
            return None
        options = [option for option in inner if option is not type(None)]
        lists = [option for option in options if get_origin(option) is tuple]
        choice = (lists if lists and isinstance(content, list) else options)[0]
        return build(choice, content, where)
    if origin is Literal:
        return _expect(content in inner, f"one of {', '.join(inner)}", content, where)
    if is_dataclass(kind):
        return _build_dataclass(kind, content, where)
    if origin is tuple:
        _expect(isinstance(content, list), "a list", content, where)
        items = inner[:1] * len(content) if inner[-1] is ... else inner
        _expect(len(content) == len(items), f"{len(items)} values", content, where)
        pairs = enumerate(zip(items, content, strict=True))
        return tuple(build(item, value, f"{where}[{index}]") for index, (item, value) in pairs)
    if origin is dict:
        _expect(isinstance(content, dict), "an object", content, where)
        return {key: build(inner[1], value, f"{where}[{key!r}]") for key, value in content.items()}
    if kind is float:
        # JSON does not distinguish 4 from 4.0, and Python's parser accepts NaN.
        number = isinstance(content, (int, float)) and not isinstance(content, bool)
        finite = number and math.isfinite(content)
        return float(_expect(finite, "a finite number", content, where))
    # bool is a subclass of int.
    fits = isinstance(content, kind) and (kind is bool or not isinstance(content, bool))
    return _expect(fits, f"of type {kind.__name__}", content, where)


def _build_dataclass(kind: Any, content: Any, where: str) -> Any:
    _expect(isinstance(content, dict), "an object", content, where)
    names = [field.name for field in fields(kind)]
    if set(content) != set(names):
        missing, extra = sorted(set(names) - set(content)), sorted(set(content) - set(names))
        raise ValueError(
            f"{where} must have exactly its fields; missing {missing}, unknown {extra}"
        )
    hints = get_type_hints(kind)
    values = {name: build(hints[name], content[name], f"{where}.{name}") for name in names}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _expect(fits: bool, rule: str, content: Any, where: str) -> Any:  # noqa: FBT001
    if not fits:
        raise ValueError(f"{where} must be {rule}; got {str(content)[:60]!r}")
    return content
