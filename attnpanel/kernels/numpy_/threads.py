"""Python threads of the NumPy kernels, which run with BLAS on one thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Work = TypeVar("Work")


def share_out(
    work: Sequence[Work], threads: int, make_worker: Callable[[], Callable[[Work], None]]
) -> None:
    """Process all pieces of work on `threads` threads, each with its own worker.

    Threads take pieces from one queue, which balances pieces of unequal size. The first exception
    is raised after all threads have ended.

    Parameters
    ----------
    work : sequence
        Pieces that can be processed in any order.
    threads : int
        1 starts no thread; at most one thread per piece is started.
    make_worker : callable
        Called once per thread; returns a function that processes one piece and may reuse buffers.
    """
    threads = min(threads, len(work))
    if threads == 1:
        worker = make_worker()
        for piece in work:
            worker(piece)
        return
    pieces: SimpleQueue[Work] = SimpleQueue()
    for piece in work:
        pieces.put(piece)

    def drain() -> None:
        worker = make_worker()
        while True:
            try:
                piece = pieces.get_nowait()
            except Empty:
                return
            worker(piece)

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(drain) for _ in range(threads)]:
            future.result()
