"""How many threads a NumPy kernel uses: those of BLAS, or its own with BLAS at one.

BLAS starts as many threads as there are cores, and only by its own switch is it told otherwise.
threadpoolctl turns that switch for the time of a call and back again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

Work = TypeVar("Work")


def blas_threads(threads: int) -> Callable[[], AbstractContextManager[Any]]:
    """Return a context manager's maker: inside it, BLAS uses this many threads.

    The libraries are looked up once, here, which takes milliseconds; entering takes microseconds.
    """
    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas")
    return lambda: blas.limit(limits=threads)


def share_out(
    work: Sequence[Work], threads: int, make_worker: Callable[[], Callable[[Work], None]]
) -> None:
    """Do every piece of work, `threads` at a time, each thread with a worker of its own.

    A thread takes the next piece when it is done with one, so that pieces of unequal size even
    out. The first exception is raised here once all threads have ended.

    Parameters
    ----------
    work : sequence
        Pieces that can be done in any order.
    threads : int
        1 starts no thread; no more are started than there are pieces.
    make_worker : function without arguments
        Called once a thread; what it returns does one piece and may keep buffers between two.
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
        for done in [pool.submit(drain) for _ in range(threads)]:
            done.result()
