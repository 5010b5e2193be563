"""Prompts that run in the server's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.models.continuation import Writer, WrittenText
    from attnpanel.models.prompts import PromptChange
    from attnpanel.trace import Trace
    from attnpanel.ui.worker_pool import WorkerPool

    Progress = Callable[[float, str], None]


class PromptRuns(Protocol):
    """Runs prompts; each method is the function of that name in :mod:`attnpanel.models`.

    Called in a thread of `pool`, or of the server's pool if that is None.
    """

    pool: WorkerPool | None

    def trace_prompt(self, text: str, model: str, **options: Any) -> Trace:
        """Run a prompt."""

    def change_prompt(self, text: str, model: str, **options: Any) -> PromptChange:
        """Run a prompt without and with an intervention."""

    def write_prompt(self, text: str, model: str, choices: Any, **options: Any) -> WrittenText:
        """Write a text on."""

    def writer_of(self, model: str, max_tokens: int) -> Writer | None:
        """Return what is to be known of a model that writes on."""

    def measure_prompt(self, trace: Trace, text: str, model: str, **options: Any) -> None:
        """Measure the importance of every head."""

    def counts(self) -> dict[str, int] | None:
        """Return the state of `pool` as plain data; None if there is none."""


class LocalPrompts:
    """Run prompts here; torch is imported with the first one."""

    pool: WorkerPool | None = None

    def trace_prompt(self, text: str, model: str, **options: Any) -> Trace:
        """See :func:`attnpanel.trace_prompt`."""
        from attnpanel.models.prompts import trace_prompt

        return trace_prompt(text, model=model, **options)

    def change_prompt(self, text: str, model: str, **options: Any) -> PromptChange:
        """See :func:`attnpanel.models.prompts.change_prompt`."""
        from attnpanel.models.prompts import change_prompt

        return change_prompt(text, model=model, **options)

    def write_prompt(self, text: str, model: str, choices: Any, **options: Any) -> WrittenText:
        """See :func:`attnpanel.models.continuation.write_prompt`."""
        from attnpanel.models.continuation import write_prompt

        return write_prompt(text, model, choices, **options)

    def writer_of(self, model: str, max_tokens: int) -> Writer | None:
        """See :func:`attnpanel.models.continuation.writer_of`."""
        from attnpanel.models.continuation import writer_of

        return writer_of(model, max_tokens)

    def measure_prompt(self, trace: Trace, text: str, model: str, **options: Any) -> None:
        """See :func:`attnpanel.models.prompts.measure_prompt`."""
        from attnpanel.models.prompts import measure_prompt

        measure_prompt(trace, text, model, **options)

    def counts(self) -> None:
        """Return None: the server's own pool counts these."""
