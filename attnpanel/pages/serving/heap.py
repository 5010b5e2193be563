"""Memory of a server's process that the C library keeps for itself."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

# From glibc's malloc.h.
M_ARENA_MAX: Final = -8
ARENAS: Final = 2


def share_arenas() -> bool:
    """Have all threads allocate from two arenas; return whether the C library was told so.

    glibc makes an arena for each thread that allocates while others do, eight a core at most, and
    each keeps the most that it ever held: a server whose works run in threads of their own grew by
    50 MB every ten minutes under load. Call it before threads start. Other systems' C libraries
    have no such setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS))
    except (AttributeError, OSError):  # musl has no mallopt
        return False
