"""Prompts that run on the workers of a Dask scheduler, which several servers may share."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from attnpanel import __version__
from attnpanel.attention.progress import no_progress
from attnpanel.models.cluster.answers import Answer, WorkerAnswerError, parse
from attnpanel.models.cluster.worker import run_request, stop_writing
from attnpanel.models.continuation import WrittenText
from attnpanel.models.prompts import PromptChange, check_prompt
from attnpanel.pages.prompt_runs.connection import LOG, RESOURCE, Connection, line
from attnpanel.ui.worker_pool import counts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.models.continuation import Writer, WritingChoices, WrittenToken
    from attnpanel.pages.prompt_runs.connection import Heard
    from attnpanel.trace import Trace

    Progress = Callable[[float, str], None]

# How often the page is asked whether it still wants a prompt, while nothing is heard of it.
ASK_S: Final = 0.25
# A prompt whose worker was lost begins again on another one, but does not end all of them.
MAX_STARTS: Final = 2
FETCH_S: Final = 30.0
LOST: Final = (
    "the worker that ran the prompt has ended, and so has the next one: it may be too large for "
    "their memory; try a shorter text"
)


class DaskPrompts:
    """Run prompts on the workers of a scheduler; see the protocol for the methods.

    Parameters
    ----------
    address : str
        As for :class:`attnpanel.pages.prompt_runs.connection.Connection`, which raises.
    max_seconds : float
        How long a prompt may take from the time a worker could take it.
    """

    def __init__(self, address: str, max_seconds: float) -> None:
        self.connection = Connection(address)
        self.pool = self.connection.pool
        self._max_seconds = max_seconds
        self._writers: dict[tuple[str, int], Writer | None] = {}

    def trace_prompt(
        self, text: str, model: str, *, max_tokens: int, progress: Progress, outputs: bool = False
    ) -> Trace:
        """See :func:`attnpanel.trace_prompt`."""
        check_prompt(text, max_tokens)
        options = {"text": text, "model": model, "max_tokens": max_tokens, "outputs": outputs}
        return _traces(self._ask("trace", options, progress), 1)[0]

    def change_prompt(
        self,
        text: str,
        model: str,
        *,
        max_tokens: int,
        progress: Progress,
        outputs: bool = False,
        **change: Any,
    ) -> PromptChange:
        """See :func:`attnpanel.models.prompts.change_prompt`."""
        check_prompt(text, max_tokens)
        options = {"text": text, "model": model, "max_tokens": max_tokens, "outputs": outputs}
        return _change(self._ask("change", options | change, progress))

    def write_prompt(
        self,
        text: str,
        model: str,
        choices: WritingChoices,
        *,
        max_tokens: int,
        on_token: Callable[[WrittenToken], None],
        stopped: Callable[[], bool],
        progress: Progress,
        change: Mapping[str, Any] | None = None,
        outputs: bool = False,
    ) -> WrittenText:
        """See :func:`attnpanel.models.continuation.write_prompt`."""
        check_prompt(text, max_tokens)
        numbers = choices.count, choices.temperature, choices.top_k, choices.seed
        options = {"text": text, "model": model, "max_tokens": max_tokens, "outputs": outputs}
        options |= {"choices": numbers, "change": dict(change or {})}
        answer = self._ask("write", options, progress, on_token, stopped)
        changed = _change(answer) if change else None
        trace = _traces(answer, 1)[0] if changed is None else changed.after
        return WrittenText(trace, changed, answer.written, answer.ended)

    def writer_of(self, model: str, max_tokens: int) -> Writer | None:
        """See :func:`attnpanel.models.continuation.writer_of`; a worker is asked once."""
        asked = model, max_tokens
        if asked not in self._writers:
            options = {"model": model, "max_tokens": max_tokens}
            self._writers[asked] = self._ask("writer", options, no_progress).writer
        return self._writers[asked]

    def measure_prompt(
        self, trace: Trace, text: str, model: str, *, max_tokens: int, progress: Progress
    ) -> None:
        """See :func:`attnpanel.models.prompts.measure_prompt`."""
        check_prompt(text, max_tokens)
        options = {"text": text, "model": model, "max_tokens": max_tokens}
        importance = self._ask("measure", options, progress).importance
        if importance is None:
            raise _wrong(None, "it must hold the heads' importance")
        try:
            trace.head_importance = importance
        except ValueError as error:
            raise _wrong(None, str(error)) from error

    def counts(self) -> dict[str, int]:
        """Return how many prompts the workers run at a time, and how many run and wait."""
        return counts_of(self.pool) | {"workers": self.connection.slots}

    def _ask(
        self,
        call: str,
        options: dict[str, Any],
        progress: Progress,
        on_token: Callable[[WrittenToken], None] = lambda _token: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Answer:
        """Run a call of :mod:`attnpanel.models.cluster.worker` and return its checked answer.

        What `progress`, `on_token` or `stopped` raises cancels it.
        """
        connection = self.connection
        client = connection.client(lambda: progress(0.0, "Waiting for a worker"))
        number = uuid.uuid4().hex
        request: dict[str, Any] = {
            "version": __version__,
            "number": number,
            "topic": connection.topic,
        }
        request |= {"call": call, "options": options}
        heard = connection.listen(number)
        future = None
        try:
            future = _submit(client, request, number)
            future.add_done_callback(lambda _future: heard.news.set())
            _Following(heard, progress, on_token, stopped, self._max_seconds).until_done(
                client, future, number
            )
            data = _result(client, future, heard)
            answer = _parsed(data, heard)
            for token in answer.written[len(heard.tokens) :]:
                on_token(token)
            return answer
        finally:
            connection.forget(number)
            if future is not None:
                # The only reference: the scheduler cancels the task, if it still waits or runs.
                future.release()


class _Following:
    """Tell a page what is heard of its prompt, until that has ended."""

    def __init__(
        self,
        heard: Heard,
        progress: Progress,
        on_token: Callable[[WrittenToken], None],
        stopped: Callable[[], bool],
        max_seconds: float,
    ) -> None:
        self._heard, self._progress, self._on_token = heard, progress, on_token
        self._stopped, self._max_seconds = stopped, max_seconds
        self._told = 0
        self._reported: tuple[float, str] | None = None

    def until_done(self, client: Any, future: Any, number: str) -> None:
        until = time.monotonic() + self._max_seconds
        stopped_at = None
        while not future.done() and client.status == "running":
            heard = self._heard
            if time.monotonic() >= until:
                raise TimeoutError(
                    f"a prompt may take {self._max_seconds:g} s on a worker of this server, which "
                    "is over: try a shorter text, or try again later"
                )
            if heard.starts > MAX_STARTS:
                raise ConnectionError(LOST)
            self._tell()
            if self._told and heard.worker not in (None, stopped_at) and self._stopped():
                stopped_at = heard.worker
                client.loop.add_callback(
                    client.run, stop_writing, number, workers=[stopped_at], on_error="ignore"
                )
            heard.news.wait(ASK_S)
            heard.news.clear()
        self._tell()

    def _tell(self) -> None:
        heard = self._heard
        tokens = heard.tokens[self._told :]
        for token in tokens:
            self._told += 1
            self._on_token(token)
        # Without news it is said again: a page that goes on with something else ends it here.
        if heard.progress != self._reported or not self._told:
            self._reported = heard.progress
            self._progress(*heard.progress)


def _submit(client: Any, request: dict[str, Any], number: str) -> Any:
    try:
        return client.submit(
            run_request,
            request,
            key=f"attnpanel-{number}",
            pure=False,
            retries=0,
            resources={RESOURCE: 1},
        )
    except Exception as error:
        raise _gone(error) from error


def _result(client: Any, future: Any, heard: Heard) -> object:
    """Return what a task returned, or say in a sentence why nothing."""
    from distributed import KilledWorker

    try:
        return future.result(timeout=FETCH_S)
    except Exception as error:
        if isinstance(error, KilledWorker):
            raise ConnectionError(LOST) from error
        if client.status != "running" or future.status in ("cancelled", "lost"):
            raise _gone(error) from error
        raise _wrong(heard, f"{type(error).__name__}: {error}") from error


def _parsed(data: object, heard: Heard) -> Answer:
    try:
        return parse(data)
    except WorkerAnswerError as error:
        raise _wrong(heard, str(error)) from error


def _gone(error: BaseException) -> ConnectionError:
    LOG.warning("a prompt was lost with its scheduler (%s)", line(error))
    return ConnectionError(
        "the connection to the machine that runs the prompts was lost: run it again in a minute"
    )


def _wrong(heard: Heard | None, reason: str) -> ConnectionError:
    LOG.warning("the worker %s gave no answer: %s", heard and heard.worker, reason[:500])
    return ConnectionError(
        "a worker gave an answer that this server can't use; its operator finds the reason in the "
        "log, and its packages must be the server's"
    )


def _traces(answer: Answer, count: int) -> tuple[Trace, ...]:
    if len(answer.traces) != count:
        raise _wrong(None, f"it must hold {count} traces; got {len(answer.traces)}")
    return answer.traces


def _change(answer: Answer) -> PromptChange:
    before, after = _traces(answer, 2)
    assert answer.output is not None  # noqa: S101 - checked where the answer was read
    return PromptChange(before, after, answer.output)
