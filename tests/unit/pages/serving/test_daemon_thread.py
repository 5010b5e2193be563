"""Work in a thread that a process which ends does not wait for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextvars import ContextVar

import pytest

from attnpanel.pages.serving.daemon_thread import in_daemon_thread

NAME: ContextVar[str] = ContextVar("NAME")
ENDS_AT_WORK = """
import asyncio, threading
from attnpanel.pages.serving.daemon_thread import in_daemon_thread
begun = threading.Event()

async def main():
    in_daemon_thread(lambda: begun.set() or threading.Event().wait())
    begun.wait()

asyncio.run(main())
"""


def test_the_result_is_the_futures_and_the_context_the_callers():
    async def ask():
        NAME.set("a")
        return await in_daemon_thread(NAME.get)

    assert asyncio.run(ask()) == "a"


def test_an_exception_is_the_futures():
    async def ask():
        await in_daemon_thread(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(ask())


def test_a_process_ends_while_the_thread_is_at_work():
    done = subprocess.run([sys.executable, "-c", ENDS_AT_WORK], timeout=300, check=False)

    assert done.returncode == 0
