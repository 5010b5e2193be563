"""Threads that a server which ends does not wait for, unlike those of asyncio and of a pool."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def in_daemon_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Call in a thread of its own; return the result, or the exception, as the loop's future.

    The process may end meanwhile: only for work whose result nobody needs then.
    """
    context = copy_context()
    done: Future[T] = Future()

    def work() -> None:
        try:
            result = context.run(call)
        except BaseException as error:  # noqa: BLE001 - the caller's
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=work, daemon=True).start()
    return asyncio.wrap_future(done)
