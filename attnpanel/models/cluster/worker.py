"""What a Dask worker runs: a prompt through a model that it keeps loaded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from attnpanel import __version__
from attnpanel.attention.errors import error_sentence
from attnpanel.models.cluster.answers import Answer, pack, pack_error, token_record
from attnpanel.models.continuation import WritingChoices, write_prompt, writer_of
from attnpanel.models.loading import keep_at_most
from attnpanel.models.prompts import change_prompt, measure_prompt, trace_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Models that a worker keeps, those with a head counted apart: four decoders take eight.
MODELS_KEPT: Final = 8
# What a worker says of a prompt under way, the first word of its messages.
STARTED, PROGRESS, TOKEN = "started", "progress", "token"

_lock = threading.Lock()
# Prompts that run, by number, and whether their text is to end.
_running: dict[str, bool] = {}


class _CancelledError(BaseException):
    """Ends a prompt that nobody waits for; no handler of the model's catches it."""


def run_request(request: Mapping[str, Any]) -> bytes:
    """Run a request in the thread of a Dask task; return an answer, or why there is none.

    Parameters
    ----------
    request : mapping
        ``version``, ``number`` and ``topic``, under which progress is said, ``call`` (the name of
        an entry of ``CALLS``) and ``options``, its arguments.
    """
    from distributed import get_worker

    if request["version"] != __version__:
        return pack_error(
            f"a worker must have the server's attnpanel, {request['version']}; got {__version__}"
        )
    keep_at_most(MODELS_KEPT)
    worker, number = get_worker(), request["number"]
    say = _sender(worker, request["topic"], number)
    with _lock:
        _running[number] = False
    try:
        say(STARTED, worker.address)
        return pack(CALLS[request["call"]](number, say, **request["options"]))
    except _CancelledError:
        return pack_error("cancelled")
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        return pack_error(error_sentence(error), missing=isinstance(error, ImportError))
    finally:
        with _lock:
            _running.pop(number, None)


def stop_writing(number: str) -> None:
    """End the text of a request with its next token; any thread may call it."""
    with _lock:
        if number in _running:
            _running[number] = True


def _sender(worker: Any, topic: str, number: str) -> Callable[[str, Any], None]:
    """Return what sends a message to the server, and ends a task that was cancelled."""
    key = worker.get_current_task()

    def say(kind: str, content: Any) -> None:
        task = worker.state.tasks.get(key)
        # Dask takes a cancelled task from the scheduler, and lets its thread go on.
        if task is None or task.state != "executing":
            raise _CancelledError
        worker.log_event(topic, [number, kind, content])

    return say


def _progress(say: Callable[[str, Any], None]) -> Callable[[float, str], None]:
    return lambda fraction, message: say(PROGRESS, [float(fraction), message])


def _trace(_number: str, say: Callable[[str, Any], None], **options: Any) -> Answer:
    return Answer((trace_prompt(**options, progress=_progress(say)),))


def _change(_number: str, say: Callable[[str, Any], None], **options: Any) -> Answer:
    changed = change_prompt(**options, progress=_progress(say))
    return Answer((changed.before, changed.after), changed.output)


def _write(
    number: str, say: Callable[[str, Any], None], *, choices: Sequence[Any], **options: Any
) -> Answer:
    count = 0

    def on_token(token: Any) -> None:
        nonlocal count
        say(TOKEN, [count, token_record(token)])
        count += 1

    text = write_prompt(
        **options,
        choices=WritingChoices(*choices),
        on_token=on_token,
        stopped=lambda: _running[number],
        progress=_progress(say),
    )
    changed = text.change
    return Answer(
        (text.trace,) if changed is None else (changed.before, changed.after),
        None if changed is None else changed.output,
        text.written,
        text.ended,
    )


def _writer(_number: str, _say: object, **options: Any) -> Answer:
    return Answer(writer=writer_of(**options))


def _measure(_number: str, say: Callable[[str, Any], None], **options: Any) -> Answer:
    trace = trace_prompt(**options)
    measure_prompt(trace, **options, progress=_progress(say))
    return Answer(importance=trace.head_importance)


CALLS: Final[Mapping[str, Callable[..., Answer]]] = {
    "trace": _trace,
    "change": _change,
    "write": _write,
    "writer": _writer,
    "measure": _measure,
}
