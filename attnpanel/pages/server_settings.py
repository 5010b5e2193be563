"""What the operator of a server allows, for all its pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attnpanel.pages.limits import UploadSlots
from attnpanel.pages.prompt_runs.local import LocalPrompts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from attnpanel.pages.prompt_runs.local import PromptRuns
    from attnpanel.trace import Trace


@dataclass(frozen=True)
class ServerSettings:
    """Models, files and limits of a server.

    Attributes
    ----------
    models : tuple of str
        Models that a visitor may run a prompt through; the first is the default.
    traces : mapping of str to Trace
        Trace files from the command line, by the name they are offered under.
    max_tokens : int
        Longest prompt, in tokens.
    max_characters : int
        Longest prompt, in characters; checked before the prompt is tokenised.
    max_upload_bytes : int
        Largest trace file that a visitor may upload, in bytes.
    runs : path or None
        File in which the lab stores its runs; None is the user's default file.
    max_trainings : int
        How many runs of the lab may train at the same time.
    shared_runs : bool
        Whether visitors of the lab may change each other's runs.
    max_sessions : int
        How many pages may be open at a time.
    max_prompts : int
        How many prompts a page may start in a minute.
    max_uploads : int
        How many files may be uploaded at a time, by all pages together.
    max_idle_s : float
        A page that sends nothing for so long, in seconds, is disconnected; it comes back when
        somebody looks at it.
    prompts : PromptRuns
        Where prompts run.
    """

    models: tuple[str, ...] = ("minilm",)
    traces: Mapping[str, Trace] = field(default_factory=dict)
    max_tokens: int = 512
    max_characters: int = 20_000
    max_upload_bytes: int = 64_000_000
    runs: Path | None = None
    max_trainings: int = 2
    shared_runs: bool = True
    max_sessions: int = 200
    max_prompts: int = 30
    max_uploads: int = 4
    max_idle_s: float = 12 * 3600.0
    prompts: PromptRuns = field(default_factory=LocalPrompts)
    uploads: UploadSlots = field(init=False)

    def __post_init__(self) -> None:
        """Make what all pages share."""
        object.__setattr__(self, "uploads", UploadSlots(self.max_uploads))
