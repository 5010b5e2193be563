"""How long others' requests take, asked by a process of its own: a crowd keeps ours busy."""

from __future__ import annotations

import http.client
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attnpanel.bench.browser import MeasurementError

if TYPE_CHECKING:
    from typing import Self

LIMIT_S: Final = 300.0
PAUSE_S: Final = 0.1


class Pings:
    """Asks a server for `/health` again and again while a block runs.

    Parameters
    ----------
    address : str
        Of any page.

    Attributes
    ----------
    seconds : list of float
        What each request took, connecting included; there after the block.
    """

    def __init__(self, address: str) -> None:
        self.seconds: list[float] = []
        self._server = urlsplit(address).netloc

    def __enter__(self) -> Self:
        """Return when the first is answered."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, self._server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        output: Any = self._process.stdout
        output.readline()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the last answer.

        Raises
        ------
        MeasurementError
            If the server did not answer one.
        """
        lines, errors = self._process.communicate()
        if self._process.returncode:
            raise MeasurementError(f"a ping failed: {errors.strip().splitlines()[-1]}")
        self.seconds = [float(line) for line in lines.splitlines()]


def _ping_until_told(server: str) -> None:
    """Write a line of seconds for each request, until the standard input ends."""
    asked_to_end: list[object] = []
    while not asked_to_end:
        start = time.perf_counter()
        connection = http.client.HTTPConnection(server, timeout=LIMIT_S)
        connection.request("GET", "/health")
        connection.getresponse().read()
        connection.close()
        sys.stdout.write(f"{time.perf_counter() - start:.6f}\n")
        sys.stdout.flush()
        asked_to_end, *_ = select.select([sys.stdin], [], [], PAUSE_S)


if __name__ == "__main__":
    _ping_until_told(sys.argv[1])
