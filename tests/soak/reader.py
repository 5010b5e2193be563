"""A reader of a served page who asks for rows of weights and compares each with NumPy's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.pages.explorer.page import SOURCES
from tests.page_socket import PageSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.trace import AttentionCall, Trace


def expected_row(
    one: AttentionCall, head: int, query: int, mask: str, temperature: float
) -> np.ndarray:
    """One row of weights by the formula, in float64."""
    shared = head // (one.heads // one.kv_heads)
    scores = one.scale * one.key[0, shared].astype("f8") @ one.query[0, head, query].astype("f8")
    if mask == "causal":
        scores[query + 1 :] = -np.inf
    powers = np.exp((scores - scores.max()) / temperature)
    return powers / powers.sum()


class Reader:
    """A reader of one session; checks each answer.

    Parameters
    ----------
    port : int
    address : str
        Path and query of the page.
    trace : Trace
        What it shows.
    rng : numpy.random.Generator
        Chooses what is asked.
    later : bool
        Whether the trace comes after the page, as that of a prompt.
    """

    def __init__(
        self,
        port: int,
        address: str,
        trace: Trace,
        rng: np.random.Generator,
        *,
        later: bool = False,
    ) -> None:
        self.socket = PageSocket(port, address)
        self._driver, data = self.socket.component("BrowserDriver")
        meta = self.socket.awaited("meta") if later else self.socket.value(data, "meta")
        self._serial, self._trace, self._rng = meta["trace"], trace, rng
        self._number = self.answers = 0

    def ask(self) -> None:
        """Ask for a row of the trace on screen and compare it."""
        layer = int(self._rng.integers(len(self._trace.calls)))
        one = self._trace.calls[layer]
        head, query = (int(self._rng.integers(most)) for most in (one.heads, one.query_len))
        mask = str(self._rng.choice(["none", "causal"]))
        temperature = float(self._rng.choice([0.1, 1.0, 3.0]))
        self._number += 1
        state = {"layer": layer, "head": head, "query_index": query, "mask": mask}
        question = {
            "kind": "row",
            "id": self._number,
            "layers": [layer],
            "trace": self._serial,
            "state": state | {"temperature": temperature},
        }
        self.socket.send(self._driver, {"ask": question})
        answer = self.socket.awaited("answer")
        assert answer["id"] == self._number
        np.testing.assert_allclose(
            np.frombuffer(answer["weights"], np.float32),
            expected_row(one, head, query, mask, temperature),
            rtol=1e-5,  # float32 scores of up to 10, at temperatures from 0.1
            atol=1e-6,
        )
        self.answers += 1

    def choose(self, source: str, trace: Callable[[], Trace] | None) -> None:
        """Choose a source, which opens a trace; None is a source that fails."""
        tabs = self.socket.find(labels=list(SOURCES))
        self.socket.change(tabs, "active", SOURCES.index(source))
        if trace is not None:
            self._serial = self.socket.awaited("meta")["trace"]
            self._trace = trace()

    def upload(self, content: bytes) -> None:
        """Send a file in one part and wait for what is said of it."""
        upload, _ = self.socket.component("Upload")
        self.socket.send(upload, {"name": "f", "size": len(content), "offset": 0, "chunk": content})

    def forge(self) -> None:
        """Send what no page sends."""
        self.socket.change(self.socket.find(labels=list(SOURCES)), "active", 99)

    def download(self) -> bytes:
        """Press *Download report* and return the file."""
        button, _ = self.socket.component("Download")
        self.socket.send(button, {"press": 1, "plots": []})
        content: Any = self.socket.received("press")["content"]
        return bytes(content)

    def leave(self, *, cut: bool) -> None:
        """Close the page; or lose the connection in the middle of a message."""
        if cut:
            self.socket.raw('{"msgid": "1", "msgtype": "PATCH-DOC"}')
        self.socket.close()
