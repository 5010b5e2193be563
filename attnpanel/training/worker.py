"""Run one training in this process: `python -m attnpanel.training.worker STORE RUN`.

It trains until the run ends, is stopped, or its parent process is gone: standard input reaches its
end then, so that no training is left behind.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

from attnpanel.training.runner import run_training
from attnpanel.training.store import RunStore


def main(arguments: list[str]) -> int:
    """Train the run; return 0 unless it failed."""
    path, number = arguments
    # The server that shows the page has priority.
    with suppress(AttributeError, OSError):
        os.nice(10)
    parent_gone = threading.Event()

    def wait_for_parent() -> None:
        # os.read bypasses Python's buffer, whose lock would be held at the process's end; that
        # error would be reported instead of the training's own.
        while os.read(0, 4096):
            pass
        parent_gone.set()

    threading.Thread(target=wait_for_parent, daemon=True).start()
    try:
        run_training(RunStore(path), int(number), cancelled=parent_gone.is_set)
    except Exception as error:  # noqa: BLE001 - its reason is in the store; this is for a log
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
