"""Limit the threads of BLAS, which uses all cores by default, for the duration of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def blas_threads(threads: int) -> Callable[[], AbstractContextManager[Any]]:
    """Return a function that makes a context manager in which BLAS uses this many threads.

    Looking up the libraries takes milliseconds and is done once, here; entering takes microseconds.
    """
    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas")
    return lambda: blas.limit(limits=threads)


def one_blas_thread() -> AbstractContextManager[Any] | None:
    """Return a context in which BLAS uses one thread; None without threadpoolctl.

    Threads that each call BLAS on all cores wait for one another: on two busy cores 20 times as
    long.
    """
    try:
        return blas_threads(1)()
    except ImportError:
        return None
