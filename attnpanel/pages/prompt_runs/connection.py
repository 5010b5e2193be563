"""A server's connection to a Dask scheduler, kept by a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from attnpanel.attention.errors import MissingDependencyError
from attnpanel.models.cluster.answers import WorkerAnswerError, parse_token
from attnpanel.models.cluster.worker import PROGRESS, STARTED, TOKEN
from attnpanel.models.continuation import MAX_WRITTEN
from attnpanel.ui.worker_pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.models.continuation import WrittenToken

LOG = logging.getLogger("attnpanel")
ADDRESS: Final = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]@]+):(\d{1,5})")
# A worker runs as many prompts at a time as it offers of this resource.
RESOURCE: Final = "prompts"
CONNECT_S: Final = 5.0
LOOK_S: Final = 1.0
# How long a prompt waits for a scheduler and a worker, so that either may be started anew.
MISSING_S: Final = 15.0
MAX_SLOTS: Final = 256
MAX_MESSAGE: Final = 200


@dataclass
class Heard:
    """What a worker has said of a prompt; a thread of Dask's writes, the prompt's own reads.

    Attributes
    ----------
    starts : int
        How many workers have begun it: more than one if the first was lost.
    progress : tuple of float and str
    tokens : list of WrittenToken
        In order, each once.
    news : threading.Event
        Set when something was said, or the prompt has ended.
    """

    starts: int = 0
    worker: str | None = None
    progress: tuple[float, str] = (0.0, "Waiting for a worker")
    tokens: list[WrittenToken] = field(default_factory=list)
    news: threading.Event = field(default_factory=threading.Event)

    def hear(self, kind: object, content: object) -> None:
        """Take a message; what is none that a worker sends is ignored."""
        if kind == STARTED and isinstance(content, str):
            self.starts, self.worker = self.starts + 1, content[:MAX_MESSAGE]
        elif not isinstance(content, list | tuple) or len(content) != 2:
            return
        elif kind == PROGRESS:
            fraction, text = content
            if isinstance(fraction, float) and 0 <= fraction <= 1 and isinstance(text, str):
                self.progress = fraction, text[:MAX_MESSAGE]
        elif kind == TOKEN and content[0] == len(self.tokens) < MAX_WRITTEN:
            with contextlib.suppress(WorkerAnswerError):
                self.tokens.append(parse_token(content[1]))
        self.news.set()


class Connection:
    """Keep a client of a scheduler, make another one when it was lost, and count its workers.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT``, or ``tls://`` with certificates from Dask's own configuration.

    Attributes
    ----------
    pool : WorkerPool
        As many threads as the workers run prompts at a time.

    Raises
    ------
    ValueError
        If it is no address.
    MissingDependencyError
        If distributed is missing.
    """

    def __init__(self, address: str) -> None:
        found = ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found[3]) < 1 << 16:
            raise ValueError(f"a scheduler must be given as tcp://HOST:PORT; got {address!r}")
        try:
            import distributed  # noqa: F401 - here, so that its absence is told at the start
        except ImportError as error:
            raise MissingDependencyError(
                "--scheduler needs Dask: pip install distributed"
            ) from error
        # It logs each lost connection with a traceback; what there is to know is said here.
        logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)
        self.address = address
        self.pool = WorkerPool(1)
        self.topic = f"attnpanel-{uuid.uuid4().hex}"
        self._state = threading.Condition()
        self._client: Any = None
        self._scheduler = ""
        self._slots, self._workers = 0, 0
        self._missing_since = time.monotonic()
        self._said = ""
        self._heard: dict[str, Heard] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="attnpanel-scheduler", daemon=True).start()

    @property
    def slots(self) -> int:
        """How many prompts the workers run at a time; 0 without scheduler or worker."""
        return self._slots

    def client(self, wait: Callable[[], None]) -> Any:
        """Return a client of a scheduler that has workers; `wait` is called while there is none.

        Raises
        ------
        ConnectionError
            If none came within `MISSING_S`.
        """
        while True:
            with self._state:
                if self._client is not None and self._slots:
                    return self._client
                if time.monotonic() - self._missing_since >= MISSING_S:
                    raise ConnectionError(self._problem())
                self._state.wait(0.25)
            wait()

    def listen(self, number: str) -> Heard:
        """Return what will be heard of a prompt, until it is forgotten."""
        heard = self._heard[number] = Heard()
        return heard

    def forget(self, number: str) -> None:
        """Ignore what is said of a prompt from now on."""
        self._heard.pop(number, None)

    def close(self) -> None:
        """Leave the scheduler, which then cancels what runs."""
        self._closed.set()
        self._drop()

    def _problem(self) -> str:
        again = "try again in a minute"
        if self._client is None:
            return f"the machine that runs the prompts can't be reached: {again}"
        if self._workers:
            return "no worker takes prompts: its operator must start it with --resources prompts=1"
        return f"no worker is there to run the prompt: {again}"

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - Dask raises what its parts raise
                self._drop()
                self._say("lost", f"can't be reached, so prompts wait for it ({line(error)})")
            self._closed.wait(LOOK_S)

    def _look(self) -> None:
        """Connect if need be, and count the workers."""
        if self._client is not None and self._client.status != "running":
            raise ConnectionError("the connection was lost")
        client = self._client or self._connect()
        try:
            info = client.scheduler_info(n_workers=-1)
        except Exception:
            if self._client is None:
                client.close(timeout=1)
            raise
        if self._client is not None and info["id"] != self._scheduler:
            raise ConnectionError("the scheduler was started anew")
        slots = [worker["resources"].get(RESOURCE, 0) for worker in info["workers"].values()]
        self._update(client, info["id"], int(sum(slots)), len(slots))
        if self._slots:
            text = f"runs {self._slots} prompts at a time on {len(slots)} workers"
        else:
            text = f"has no worker that takes prompts: start one with --resources {RESOURCE}=1"
        self._say(text, text)

    def _connect(self) -> Any:
        from distributed import Client

        client = Client(
            self.address,
            timeout=CONNECT_S,
            set_as_default=False,
            # No answer may be a pickle. Dask itself pickles tasks, and errors that they raise.
            serializers=["dask", "pickle", "msgpack"],
            deserializers=["dask", "msgpack", "error"],
        )
        client.subscribe_topic(self.topic, self._hear)
        return client

    def _update(self, client: Any, scheduler: str, slots: int, workers: int) -> None:
        with self._state:
            if self._slots and not slots:
                self._missing_since = time.monotonic()
            self._client, self._scheduler = client, scheduler
            self._slots, self._workers = slots, workers
            self._state.notify_all()
        if slots:
            self.pool.size = min(slots, MAX_SLOTS)

    def _drop(self) -> None:
        """Forget the client; its prompts end."""
        client = self._client
        self._update(None, "", 0, 0)
        for heard in list(self._heard.values()):
            heard.news.set()
        if client is not None:
            with contextlib.suppress(Exception):
                client.close(timeout=1)

    def _hear(self, event: object) -> None:
        if not isinstance(event, list | tuple) or len(event) != 2:
            return
        message = event[1]
        if isinstance(message, list | tuple) and len(message) == 3 and isinstance(message[0], str):
            number, kind, content = message
            heard = self._heard.get(number)
            if heard is not None:
                heard.hear(kind, content)

    def _say(self, kind: str, text: str) -> None:
        """Say once what has changed."""
        if kind != self._said:
            self._said = kind
            LOG.warning("the scheduler %s %s", self.address, text)


def line(error: BaseException) -> str:
    """Return the first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:MAX_MESSAGE]
