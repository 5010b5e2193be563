"""Presets: what a run measures, by name or from a TOML or YAML file, and the plan made of one."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.reasons import device_is_here
from attnpanel.kernels.request import DType, Request
from attnpanel.kernels.torch_inputs import DEVICES
from attnpanel.masks import Align, MaskName  # noqa: TC001 - get_type_hints looks them up
from bench.cases import CERTIFICATE_CASES, Case, InputKind
from bench.planning import Plan
from bench.results import build

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER: Final = Path(__file__).with_name("presets")
# No preset is longer; a file of a gigabyte is no preset.
MOST_BYTES = 2**16
# Of the keys that key_padding leaves, and what a window sees, unless the preset says otherwise.
DEFAULT_WINDOW = 256


class PresetError(ValueError):
    """A preset that there is not, or that says what no preset can say."""


@dataclass(frozen=True)
class Timed:
    """Cases that are timed: each length under each mask in each dtype.

    Attributes
    ----------
    T : tuple of int
        Queries, and as many keys.
    masks, dtypes : tuple of str
    batch, heads, kv_heads, head_dim : int
        `kv_heads` 0 is as many as `heads`.
    window : int
        For the mask ``"window"``. ``"key_padding"`` leaves three quarters of the keys.
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
    window: int = DEFAULT_WINDOW
    align: Align = "top_left"
    kind: InputKind = "randn"

    def cases(self, device: str) -> list[Case]:
        """Return the cases in the order of a table: dtype, mask, then length."""
        return [
            Case(
                Request(
                    batch=self.batch,
                    heads=self.heads,
                    kv_heads=self.kv_heads or self.heads,
                    query_len=length,
                    key_len=length,
                    head_dim=self.head_dim,
                    value_dim=self.head_dim,
                    dtype=dtype,
                    device=device,
                    mask=mask,
                    align=self.align,
                    pad_lens=_pad_lens(mask, length, self.batch),
                    window=self.window if mask == "window" else None,
                ),
                self.kind,
            )
            for dtype in self.dtypes
            for mask in self.masks
            for length in self.T
        ]


@dataclass(frozen=True)
class Preset:
    """What a run measures, as a file says it.

    Attributes
    ----------
    about : str
        One line for `python -m bench list`.
    device : {"auto", "cpu", "cuda", "xpu", "mps"}
    certificates : {"all", "few", "none"}
        Cases that are only certified; few is the first of each mask and dtype. What is timed
        is always certified.
    compiled : bool
        Whether implementations that compile take part.
    implementations : tuple of str
        Empty for all.
    threads, rounds, samples_per_round, row_budget_s, time_limit_s
        As in :class:`~bench.planning.Plan`.
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
    timed: tuple[Timed, ...] = ()


def preset_names() -> list[str]:
    """Return the names of the presets that come along."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_preset(name: str) -> Preset:
    """Return the preset of this name, or the one in this ``.toml``, ``.yaml`` or ``.yml`` file.

    Raises
    ------
    PresetError
        If there is none of this name, or the file says what no preset can; names the place.
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
    threads: int | None = None,
    certify_only: bool = False,
    cuda_graphs: bool = False,
) -> Plan:
    """Return the plan of a preset; what is given takes the place of what the preset says.

    Parameters
    ----------
    preset : Preset
    name : str
        For the record.
    device : {"auto", "cpu", "cuda", "xpu", "mps"}, optional
        auto is the accelerator that torch finds, else the CPU.
    implementations : sequence of str
        Also those that the preset leaves out; ``module:NAME`` for one of your own.
    query_lens, masks, dtypes : sequences
        Of what is timed.
    threads : int, optional
    certify_only : bool
        Time nothing; what would be timed is still certified.
    cuda_graphs : bool
        As in :class:`~bench.planning.Plan`.

    Raises
    ------
    ValueError
        If there is no such implementation, or nothing is left to do.
    """
    where = resolve_device(device or preset.device)
    changes: dict[str, Any] = {
        key: tuple(dict.fromkeys(values))
        for key, values in (("T", query_lens), ("masks", masks), ("dtypes", dtypes))
        if values
    }
    groups = preset.timed or ((Timed(),) if changes else ())
    timed = {case.name: case for group in groups for case in replace(group, **changes).cases(where)}
    certified = {
        case.name: case
        for case in (_on(case, where) for case in _certified(preset.certificates))
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
        cuda_graphs=cuda_graphs,
    )


def resolve_device(device: str) -> str:
    """Return the type of device that ``"auto"`` is here."""
    if device != "auto":
        return device
    return next((one for one in DEVICES if one != "cpu" and device_is_here(one)), "cpu")


def left_out(preset: Preset) -> list[str]:
    """Return the implementations that a preset leaves out because they compile."""
    if preset.compiled or preset.implementations:
        return []
    return [one.name for one in IMPLEMENTATIONS if one.compiles]


def _chosen(preset: Preset, asked: Sequence[str]) -> tuple[str, ...]:
    names = dict.fromkeys(asked or preset.implementations)
    for name in names:
        if ":" not in name:
            find_implementation(name)
    if names:
        return tuple(names)
    out = left_out(preset)
    return tuple(one.name for one in IMPLEMENTATIONS if one.name not in out)


def _certified(which: str) -> list[Case]:
    if which == "few":
        first = {(one.request.mask, one.request.dtype): one for one in reversed(CERTIFICATE_CASES)}
        return [case for case in CERTIFICATE_CASES if case in first.values()]
    return list(CERTIFICATE_CASES) if which == "all" else []


def _on(case: Case, device: str) -> Case:
    return replace(case, request=replace(case.request, device=device))


def _pad_lens(mask: str, length: int, batch: int) -> tuple[int, ...] | None:
    return (max(1, length * 3 // 4),) * batch if mask in {"padding", "key_padding"} else None


def _content(path: Path) -> Any:
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"it must be at most {MOST_BYTES} bytes")
    if path.suffix == ".toml":
        return tomllib.loads(text.decode())
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _preset(content: Any) -> Preset:
    filled = _filled(content, Preset())
    if isinstance(filled, dict) and isinstance(filled["timed"], list):
        filled["timed"] = [_filled(group, Timed()) for group in filled["timed"]]
    preset: Preset = build(Preset, filled, "preset")
    return preset


def _filled(content: Any, standard: Any) -> Any:
    """Fill what a file does not say with what holds then, as JSON has it."""
    if not isinstance(content, dict):
        return content
    return {**json.loads(json.dumps(asdict(standard))), **content}
