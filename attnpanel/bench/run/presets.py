"""Presets: load them by name or from a TOML or YAML file, and make plans of them."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from attnpanel.attention.mask_table import MaskName, find_mask
from attnpanel.attention.masks import Align  # noqa: TC001 - get_type_hints looks it up
from attnpanel.bench.certify.cases import Case, InputKind, example_mask, select_cases
from attnpanel.bench.run.planning import Plan
from attnpanel.bench.run.serialization import build
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.reasons import device_is_here
from attnpanel.kernels.request import Direction, DType, Request
from attnpanel.kernels.torch_.inputs import DEVICES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FOLDER: Final = Path(__file__).with_name("presets")
# Upper limit of a preset's size, checked before parsing.
MAX_BYTES = 2**16
DEFAULT_WINDOW = 256


class PresetError(ValueError):
    """The preset does not exist or is not valid."""


@dataclass(frozen=True)
class Timed:
    """Cases to time: each length with each mask in each dtype.

    Attributes
    ----------
    T : tuple of int
        Number of queries.
    masks, dtypes : tuple of str
    batch, heads, kv_heads, head_dim, value_dim : int
        `kv_heads` 0 means `heads`, `value_dim` 0 `head_dim`.
    key_len : int
        Number of keys; 0 means as many as queries.
    bias : bool
        Whether a bias is added to the scores.
    window : int
        For masks that need one. ``"key_padding"`` leaves three quarters of the keys.
    align : {"top_left", "bottom_right"}
    kind : {"randn", "peaked", "outlier", "large"}
    """

    T: tuple[int, ...] = (128, 256, 512)
    masks: tuple[MaskName, ...] = ("none", "causal")
    dtypes: tuple[DType, ...] = ("float32",)
    batch: int = 1
    heads: int = 8
    kv_heads: int = 0
    head_dim: int = 64
    value_dim: int = 0
    key_len: int = 0
    bias: bool = False
    window: int = DEFAULT_WINDOW
    align: Align = "top_left"
    kind: InputKind = "randn"

    def __post_init__(self) -> None:
        for mask in self.masks:
            find_mask(mask)

    def cases(self, device: str) -> list[Case]:
        """Return the cases ordered by dtype, mask and length."""
        return [
            Case(
                Request(
                    batch=self.batch,
                    heads=self.heads,
                    kv_heads=self.kv_heads or self.heads,
                    query_len=length,
                    key_len=self.key_len or length,
                    head_dim=self.head_dim,
                    value_dim=self.value_dim or self.head_dim,
                    dtype=dtype,
                    device=device,
                    align=self.align,
                    bias=self.bias,
                    **example_mask(
                        mask, length, self.key_len or length, self.batch, window=self.window
                    ),
                ),
                self.kind,
            )
            for dtype in self.dtypes
            for mask in self.masks
            for length in self.T
        ]


@dataclass(frozen=True)
class Preset:
    """The content of a preset file.

    Attributes
    ----------
    about : str
        One line for `python -m bench list`.
    device : {"auto", "cpu", "cuda", "xpu", "mps"}
    certificates : {"all", "few", "none"}
        Cases to certify without timing; ``"few"`` is the first of each mask and dtype. Timed cases
        are always certified.
    compiled : bool
        Whether to include implementations that compile.
    implementations : tuple of str
        Empty for all.
    threads, rounds, samples_per_round, row_budget_s, time_limit_s, processes
        As in :class:`~attnpanel.bench.run.planning.Plan`.
    timed : tuple of Timed
    """

    about: str = ""
    device: Literal["auto", "cpu", "cuda", "xpu", "mps"] = "auto"
    certificates: Literal["all", "few", "none"] = "few"
    compiled: bool = True
    implementations: tuple[str, ...] = ()
    threads: int = 1
    rounds: int = 14
    samples_per_round: int = 1
    row_budget_s: float = 2.0
    time_limit_s: float = 120.0
    processes: int = 1
    timed: tuple[Timed, ...] = ()


def preset_names() -> list[str]:
    """Return the names of the built-in presets."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """Return the preset of this name, or the one in this ``.toml``, ``.yaml`` or ``.yml`` file.

    Raises
    ------
    PresetError
        If there is none of this name, or the file is not valid; the message names the field.
    OSError
        If the file can't be read.
    """
    path = Path(name)
    if path.suffix not in {".toml", ".yaml", ".yml"}:
        if name not in preset_names():
            known = ", ".join(preset_names())
            raise PresetError(
                f"preset must be one of {known}, or a TOML or YAML file; got {name!r}"
            )
        path = FOLDER / f"{name}.toml"
    try:
        return _preset(_content(path))
    except (ValueError, RecursionError) as error:
        raise PresetError(f"{path} is not a preset: {error}") from None


def make_plan(
    preset: Preset,
    name: str,
    *,
    device: str | None = None,
    implementations: Sequence[str] = (),
    query_lens: Sequence[int] = (),
    masks: Sequence[MaskName] = (),
    dtypes: Sequence[DType] = (),
    sizes: Mapping[str, int | bool | None] | None = None,
    threads: int | None = None,
    certify_only: bool = False,
    cuda_graphs: bool = False,
    gradients: bool = False,
    run_limit_s: float | None = None,
) -> Plan:
    """Return the plan of a preset; arguments override the preset.

    Parameters
    ----------
    preset : Preset
    name : str
        Name of the preset, kept in the result.
    device : {"auto", "cpu", "cuda", "xpu", "mps"}, optional
        auto is the accelerator that torch finds, otherwise the CPU.
    implementations : sequence of str
        May include implementations that the preset excludes; ``module:NAME`` for your own.
    query_lens, masks, dtypes : sequences
        Of the cases to time.
    sizes : mapping, optional
        Of the cases to time: fields of :class:`Timed` by name, except those that are None.
    threads : int, optional
    certify_only : bool
        Certify the cases that would be timed, but time nothing.
    cuda_graphs, gradients : bool
    run_limit_s : float, optional
        As in :class:`~attnpanel.bench.run.planning.Plan`.

    Raises
    ------
    ValueError
        If an implementation is unknown, or there is nothing to do.
    """
    where = resolve_device(device or preset.device)
    changes: dict[str, Any] = {
        key: tuple(dict.fromkeys(values))
        for key, values in (("T", query_lens), ("masks", masks), ("dtypes", dtypes))
        if values
    }
    changes |= {name: size for name, size in (sizes or {}).items() if size is not None}
    groups = preset.timed or ((Timed(),) if changes else ())
    directions = get_args(Direction) if gradients and not certify_only else ("forward",)
    timed = {
        case.name: case
        for group in groups
        for forward in replace(group, **changes).cases(where)
        for case in in_directions(forward, directions)
    }
    certified = {
        case.name: case
        for case in (_on(case, where) for case in select_cases(preset.certificates))
        if case.name not in timed
    }
    only = (*certified.values(), *(timed.values() if certify_only else ()))
    return Plan(
        preset=name,
        certified=only,
        timed=() if certify_only else tuple(timed.values()),
        implementations=_chosen(preset, implementations),
        threads=preset.threads if threads is None else threads,
        rounds=preset.rounds,
        samples_per_round=preset.samples_per_round,
        row_budget_s=preset.row_budget_s,
        time_limit_s=preset.time_limit_s,
        processes=preset.processes,
        cuda_graphs=cuda_graphs,
        gradients=gradients,
        run_limit_s=run_limit_s,
    )


def in_directions(case: Case, directions: Iterable[Direction]) -> list[Case]:
    """Return the case of each of these directions."""
    return [replace(case, request=replace(case.request, direction=one)) for one in directions]


def resolve_device(device: str) -> str:
    """Return the device type, with ``"auto"`` resolved on this machine."""
    if device != "auto":
        return device
    return next((name for name in DEVICES if name != "cpu" and device_is_here(name)), "cpu")


def left_out(preset: Preset) -> list[str]:
    """Return the implementations that a preset excludes because they compile."""
    if preset.compiled or preset.implementations:
        return []
    return [implementation.name for implementation in IMPLEMENTATIONS if implementation.compiles]


def _chosen(preset: Preset, requested: Sequence[str]) -> tuple[str, ...]:
    names = dict.fromkeys(requested or preset.implementations)
    for name in names:
        if ":" not in name:
            find_implementation(name)
    if names:
        return tuple(names)
    excluded = left_out(preset)
    return tuple(
        implementation.name
        for implementation in IMPLEMENTATIONS
        if implementation.name not in excluded
    )


def _on(case: Case, device: str) -> Case:
    return replace(case, request=replace(case.request, device=device))


def _content(path: Path) -> Any:
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"it must be at most {MAX_BYTES} bytes")
    if path.suffix == ".toml":
        return tomllib.loads(text.decode())
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _preset(content: Any) -> Preset:
    filled = _with_defaults(content, Preset())
    if isinstance(filled, dict) and isinstance(filled["timed"], list):
        filled["timed"] = [_with_defaults(group, Timed()) for group in filled["timed"]]
    preset: Preset = build(Preset, filled, "preset")
    return preset


def _with_defaults(content: Any, defaults: Any) -> Any:
    """Complete the content of a file with default values in JSON form."""
    if not isinstance(content, dict):
        return content
    return {**json.loads(json.dumps(asdict(defaults))), **content}
