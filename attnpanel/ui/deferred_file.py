"""A file for a download button, made in a thread while the server goes on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger("attnpanel")


@dataclass(frozen=True)
class DeferredFile:
    """A file that takes long to make.

    Attributes
    ----------
    write : callable
        Writes the file to the path that it is given. Called in a thread, so it must not touch a
        page: it knows what was on screen when the button was pressed.
    failed : callable
        Called on the page's session with the reason, a sentence, if `write` raised.
    """

    write: Callable[[Path], object]
    failed: Callable[[str], None]

    def content(self) -> bytes:
        """Return the file's bytes.

        Raises
        ------
        ValueError
            If `write` raised it, or anything unforeseen, which is logged.
        OSError
            If the file cannot be written.
        """
        with TemporaryDirectory(prefix="attnpanel-") as folder:
            path = Path(folder) / "file"
            try:
                self.write(path)
                return path.read_bytes()
            except (ValueError, OSError):
                raise
            except Exception as error:
                LOG.exception("a file for a page can't be made")
                raise ValueError(
                    f"the server failed ({type(error).__name__}); its log says why"
                ) from error
