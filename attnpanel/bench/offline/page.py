"""Write the offline page: its cases, its code and its policy in one HTML file."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attnpanel.attention.mask_table import masks_for_page
from attnpanel.bench.measure.environment import describe
from attnpanel.bench.measure.machine import sources_digest
from attnpanel.bench.offline.cases import DEVICES, certified_cases, listed, timed_cases
from attnpanel.bench.run.records import RUN_SCHEMA
from attnpanel.kernels.wgpu_online import SHADER
from attnpanel.trace.atomic_write import atomic_write_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from attnpanel.bench.certify.cases import Case
    from attnpanel.ui.theme.palettes import Theme

FOLDER: Final = Path(__file__).parent
BUNDLES: Final = FOLDER.parent / "bundles"
TITLE: Final = "Attention on this device"
# No request, no other script, no other style. A Worker is made of the file's own text, as a blob.
POLICY: Final = (
    "default-src 'none'; script-src {script} 'wasm-unsafe-eval'; style-src {style}; "
    "worker-src blob:; base-uri 'none'; form-action 'none'"
)
# Beside the palette's colours: of verdicts, and of text on the accent.
VERDICTS: Final = {
    "light": {"--good": "#1a7f37", "--bad": "#b42318", "--on-accent": "#ffffff"},
    "dark": {"--good": "#4cc26a", "--bad": "#ff8a7a", "--on-accent": "#10131a"},
}


@dataclass(frozen=True)
class OfflinePreset:
    """What one choice of the page certifies and times.

    Attributes
    ----------
    name : str
    certified : bool
        Whether to certify all of :func:`certified_cases`, or the first of each mask and dtype.
    lengths : tuple of int
        T of the timed cases.
    rounds : int
    """

    name: str
    certified: bool
    lengths: tuple[int, ...]
    rounds: int


PRESETS: Final = (
    OfflinePreset("quick", certified=False, lengths=(256, 512, 1024), rounds=6),
    OfflinePreset("full", certified=True, lengths=(256, 512, 1024, 2048), rounds=12),
)


def offline_page(
    presets: Sequence[OfflinePreset] = PRESETS,
    *,
    certified: Sequence[Case] | None = None,
    title: str = TITLE,
) -> str:
    """Return the page.

    Parameters
    ----------
    presets : sequence of OfflinePreset
    certified : sequence of Case, optional
        In place of those of :func:`certified_cases`.
    title : str
    """
    if certified is None:
        certified = [case for device in DEVICES for case in certified_cases(device)]
    lengths = sorted({length for preset in presets for length in preset.lengths})
    timed = [case for device in DEVICES for case in timed_cases(device, lengths)]
    data = {
        "schema": RUN_SCHEMA,
        "environment": _environment(),
        "sources": f"attnpanel {version('attnpanel')}, sources {sources_digest()}",
        "masks": masks_for_page(),
        "shader": SHADER,
        "certified": list(listed(certified)),
        "timed": list(listed(timed)),
    }
    choices = [_preset(preset, certified, timed) for preset in presets]
    css, script = _css(), bundle("offline_bench")
    parts = {
        "VERSION": version("attnpanel"),
        "POLICY": POLICY.format(script=_hash(script), style=_hash(css)),
        "TITLE": html.escape(title),
        "CSS": css,
        "DATA": _json(data),
        "PRESETS": _json(choices),
        "WORKER": bundle("offline_bench_worker"),
        "SCRIPT": script,
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    return re.sub(rf"\$({'|'.join(parts)})\b", lambda found: parts[found[1]], template)


def save_offline_page(path: Path | str, title: str = TITLE) -> Path:
    """Write the page, and return its path."""
    path = Path(path)
    atomic_write_text(path, [offline_page(title=title)])
    return path


def bundle(name: str) -> str:
    """Return a bundle, which must not end the element that it stands in."""
    text = (BUNDLES / f"{name}.js").read_text(encoding="utf-8")
    if "</script" in text or "<!--" in text:
        raise ValueError(f"the bundle {name} must hold neither </script nor <!--")
    return text


def file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench file`."""
    parser.description = (
        "Write a page that certifies and times attention on its reader's device: in JavaScript, "
        "WebAssembly and, by WebGPU, on the GPU. It needs neither a server nor a network."
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("attnpanel-bench.html"), metavar="FILE.html"
    )


def file_command(options: argparse.Namespace) -> None:
    """Write the page."""
    print(f"bench: wrote {save_offline_page(options.output)}")


def _preset(
    preset: OfflinePreset, certified: Sequence[Case], timed: Sequence[Case]
) -> dict[str, Any]:
    first: dict[Any, Case] = {}
    for case in certified:
        first.setdefault((case.request.device, case.request.mask, case.request.dtype), case)
    chosen = list(certified) if preset.certified else list(first.values())
    return {
        "name": preset.name,
        "certified": [case.name for case in chosen],
        "timed": [case.name for case in timed if case.request.query_len in preset.lengths],
        "rounds": preset.rounds,
    }


def _environment() -> dict[str, Any]:
    """Return what of a run's environment is known before: the code. The page adds the rest."""
    here = describe()
    return asdict(
        replace(
            here,
            cpu_model="",
            memory_bytes=None,
            os="",
            python="none: JavaScript in a browser",
            versions={"attnpanel": version("attnpanel")},
            thread_variables={},
            load_before=None,
        )
    )


def _css() -> str:
    # Here: the command line of the bench starts without Panel.
    from attnpanel.ui.theme.palettes import DARK, LIGHT, variables

    def declared(theme: Theme, name: str) -> str:
        own = {key: value for key, value in variables(theme).items() if key.startswith("--attn-")}
        pairs = {**own, **VERDICTS[name], "color-scheme": name}
        return " ".join(f"{key}: {value};" for key, value in pairs.items())

    light, dark = declared(LIGHT, "light"), declared(DARK, "dark")
    return "\n".join(
        [
            f":root {{ {light} }}",
            f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}",
            f":root[data-theme=light] {{ {light} }}",
            f":root[data-theme=dark] {{ {dark} }}",
            (FOLDER / "page.css").read_text(encoding="utf-8"),
        ]
    )


def _json(data: Any) -> str:
    """Encode as JSON that cannot end the script element around it."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    """Return a script or style as a Content-Security-Policy names it."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'"
