"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a file beside `path` to write into; it takes the path's place once it is on disk.

    An older file at the path survives whatever is raised meanwhile, and decides who may read the
    new one; where there is none, the umask does. A link keeps pointing where it did.

    Raises
    ------
    OSError
        If it can't be written.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".attnpanel-{secrets.token_hex(8)}.tmp")
    temporary.open("xb").close()
    try:
        mode = (target if target.exists() else temporary).stat().st_mode
        yield temporary
        temporary.chmod(stat.S_IMODE(mode))
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: str | os.PathLike[str], pieces: Iterable[str]) -> None:
    """Write a text file whole or not at all; an older one at the path survives a failure.

    Raises
    ------
    OSError
        If it can't be written.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for piece in pieces:
            file.write(piece)
