"""Certify several implementations in parallel; nothing is timed meanwhile."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnpanel.bench.run.child import Cancelled, ChildFailure
from attnpanel.bench.run.records import Agreement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.children import Children

POLL_INTERVAL_S = 0.2


@dataclass(frozen=True)
class Certified:
    """A certificate and the seconds it took."""

    agreement: Agreement
    seconds: float


def certify_all(
    rows: Sequence[tuple[str, Case]],
    children: Children,
    pool: Executor,
    is_cancelled: Callable[[], bool],
) -> Iterator[Certified]:
    """Yield the certificate of each row in the order of completion.

    Parameters
    ----------
    rows : sequence of implementation and case
        Rows of one implementation are certified one after the other.
    children : Children
    pool : Executor
        Its threads must outlive the children that they start.
    is_cancelled : function

    Raises
    ------
    Cancelled
        When `is_cancelled` returns True.
    """
    done: queue.SimpleQueue[Certified | BaseException] = queue.SimpleQueue()
    waiting: dict[str, list[Case]] = {}
    for name, case in rows:
        waiting.setdefault(name, []).append(case)

    def work(name: str, cases: Sequence[Case]) -> None:
        try:
            for case in cases:
                before = time.monotonic()
                agreement = certify_in_child(name, case, children)
                done.put(Certified(agreement, time.monotonic() - before))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            done.put(error)

    for name, cases in waiting.items():
        pool.submit(work, name, cases)
    for _ in rows:
        yield _next(done, is_cancelled)


def certify_in_child(name: str, case: Case, children: Children) -> Agreement:
    """Return the certificate of one row; a failure of its process is the verdict "error"."""
    try:
        answer: Agreement = children.ask(name, "certify", case)
    except ChildFailure as failure:
        return Agreement(name, case.name, "error", "computed", (str(failure),), ())
    return answer


def _next(
    done: queue.SimpleQueue[Certified | BaseException], is_cancelled: Callable[[], bool]
) -> Certified:
    while True:
        if is_cancelled():
            raise Cancelled
        try:
            found = done.get(timeout=POLL_INTERVAL_S)
        except queue.Empty:
            continue
        if isinstance(found, BaseException):
            raise found
        return found
