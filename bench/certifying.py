"""Certificates of many rows: several implementations at once, for nothing is timed meanwhile."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.bench_run import Agreement
from bench.child import Cancelled, ChildFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from bench.cases import Case
    from bench.children import Children

HEARD_EVERY_S = 0.2


@dataclass(frozen=True)
class Certified:
    """One certificate, and the seconds it took."""

    agreement: Agreement
    seconds: float


def certify_all(
    rows: Sequence[tuple[str, Case]],
    children: Children,
    pool: Executor,
    stopped: Callable[[], bool],
) -> Iterator[Certified]:
    """Yield the certificate of each row, as they come.

    Parameters
    ----------
    rows : sequence of implementation and case
        Those of one implementation are certified one after the other.
    children : Children
    pool : Executor
        Its threads stay as long as the children that they start are needed.
    stopped : function

    Raises
    ------
    Cancelled
        When `stopped` says so.
    """
    done: queue.SimpleQueue[Certified | BaseException] = queue.SimpleQueue()
    waiting: dict[str, list[Case]] = {}
    for name, case in rows:
        waiting.setdefault(name, []).append(case)

    def work(name: str, cases: Sequence[Case]) -> None:
        try:
            for case in cases:
                before = time.monotonic()
                agreement = certificate(name, case, children)
                done.put(Certified(agreement, time.monotonic() - before))
        except BaseException as error:  # noqa: BLE001 - raised again by who asked
            done.put(error)

    for name, cases in waiting.items():
        pool.submit(work, name, cases)
    for _ in rows:
        yield _next(done, stopped)


def certificate(name: str, case: Case, children: Children) -> Agreement:
    """Return the certificate of one row; what befalls its process is its verdict."""
    try:
        answer: Agreement = children.ask(name, "certify", case)
    except ChildFailure as failure:
        return Agreement(name, case.name, "error", "computed", (str(failure),), ())
    return answer


def _next(
    done: queue.SimpleQueue[Certified | BaseException], stopped: Callable[[], bool]
) -> Certified:
    while True:
        if stopped():
            raise Cancelled
        try:
            found = done.get(timeout=HEARD_EVERY_S)
        except queue.Empty:
            continue
        if isinstance(found, BaseException):
            raise found
        return found
