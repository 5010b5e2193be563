"""The arenas of glibc that a process with many threads has."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from attnpanel.pages.serving.heap import ARENAS

COUNT = """
import ctypes, threading
from attnpanel.pages.serving.heap import share_arenas

if {limited}:
    assert share_arenas()
barrier = threading.Barrier(12)

def work():
    barrier.wait()
    held = [bytearray(2000) for _ in range(100)]
    barrier.wait()

threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


def arenas(*, limited: bool) -> int:
    """How many arenas a process has whose threads allocate at once."""
    code = COUNT.format(limited=limited)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return len(re.findall(r"<heap nr=", done.stdout))


@pytest.mark.skipif(
    not hasattr(__import__("ctypes").CDLL(None), "malloc_info"), reason="needs glibc"
)
def test_threads_share_two_arenas():
    assert arenas(limited=False) > ARENAS
    assert arenas(limited=True) <= ARENAS
