"""What is fuzzed: each function takes bytes, and raises only where a promise is broken."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from attnpanel.bench.product.load.results import LoadRun
from attnpanel.bench.product.load.table import load_table
from attnpanel.bench.run.serialization import ResultFileError, read
from attnpanel.explorer.address import apply_address
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.transport import choices_of
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.static_page import toy_of
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.trace import Trace
from attnpanel.trace.computable import check_computable
from attnpanel.trace.notes import notes_document, read_notes

if TYPE_CHECKING:
    from collections.abc import Callable

# Larger traces are read and checked, not computed: the fuzzer is to try many small ones.
MOST_CELLS: Final = 4096


@cache
def toy() -> Trace:
    """The toy that notes and addresses are about."""
    return toy_trace(T=5, d_model=4, heads=2)


def trace(data: bytes) -> None:
    """Read a trace file: refused in one sentence, or computed.

    The input is the header's JSON, a zero byte, and the tensors: the length that a file begins with
    is computed, because hardly a mutation would fit it.
    """
    header, _, tensors = data.partition(b"\0")
    try:
        read = Trace.from_bytes(len(header).to_bytes(8, "little") + header + tensors, "fuzzed")
        check_computable(read)
    except ValueError as error:
        _check_sentence(error)
        return
    for call in read.calls:
        if call.batch * call.heads * call.query_len * call.key_len <= MOST_CELLS:
            shape = (call.batch, call.heads, call.query_len, call.key_len)
            if call.weights().shape != shape:
                raise AssertionError(f"weights must be {shape}; got {call.weights().shape}")


def notes(data: bytes) -> None:
    """Read a document of notes: refused in one sentence, or the same after another round."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        read = read_notes(document, toy())
    except ValueError as error:
        _check_sentence(error)
        return
    if read_notes(notes_document(read, toy()), toy()) != read:
        raise AssertionError(f"notes must stay what they are when they are written: {read}")


def address(data: bytes) -> None:
    """Open a link: what does not apply is told, and the state stays one of the trace."""
    query = data.decode("utf-8", errors="replace")
    arguments = parse_qs(query, keep_blank_values=True, errors="replace")
    encoded = {name: [text.encode() for text in texts] for name, texts in arguments.items()}
    toy_of(ServerSettings(), encoded)
    state = ExplorerState(toy())
    told = apply_address(state, {name: texts[0] for name, texts in arguments.items()})
    if not all(isinstance(sentence, str) and sentence for sentence in told):
        raise AssertionError(f"what does not apply must be sentences; got {told}")
    json.dumps(choices_of(state), allow_nan=False)  # what the page is sent
    if not (0 <= state.head < 2 and 0 <= state.query_index < 5):
        raise AssertionError(f"a link must stay within the trace; got {choices_of(state)}")


def result(data: bytes) -> None:
    """Read a result of the bench: refused in one sentence, or shown."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        path.write_bytes(data)
        try:
            run = read(path, LoadRun)
        except ResultFileError as error:
            _check_sentence(error)
            return
    load_table(run)


def _check_sentence(error: Exception) -> None:
    if not str(error).strip():
        raise AssertionError(f"a refusal must say why; got {error!r}")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "trace": trace,
    "notes": notes,
    "address": address,
    "result": result,
}
