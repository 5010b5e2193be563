"""`python -m attnpanel.training.worker STORE RUN`: one training, in a process of its own.

It trains until the run ends, somebody stops it, or whoever started it is gone: the connection's
end is read from standard input, so that no training is left behind.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

from attnpanel.training.carrying_out import carry_out
from attnpanel.training.store import RunStore


def main(arguments: list[str]) -> int:
    """Train the run; return 0 unless it failed."""
    path, number = arguments
    # Those who look at the page come first.
    with suppress(AttributeError, OSError):
        os.nice(10)
    gone = threading.Event()

    def wait_for_the_end() -> None:
        # Not through Python's buffer: at the end of the process its lock would be held here, and
        # what it dies of would be told instead of why the training failed.
        while os.read(0, 4096):
            pass
        gone.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    try:
        carry_out(RunStore(path), int(number), left=gone.is_set)
    except Exception as error:  # noqa: BLE001 - its reason stands in the store; this is for a log
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
