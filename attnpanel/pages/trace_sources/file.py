"""A trace file: uploaded, or one of those that the operator named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.pages.trace_sources.callbacks import widget_row
from attnpanel.trace import Trace
from attnpanel.trace.computable import check_computable
from attnpanel.ui import Upload
from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.fields import field
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attnpanel.pages.server_settings import ServerSettings
    from attnpanel.pages.trace_sources.callbacks import Notify, ShowTrace


# A file of this many bytes is read and checked in 30 ms: one of 980 kB that is all header in 62 ms.
MAX_IN_LOOP = 500_000


class FileSource:
    """A trace file, uploaded in chunks or chosen from the server's own."""

    name = "file"

    def __init__(self, show: ShowTrace, notify: Notify, settings: ServerSettings) -> None:
        self._show, self._notify, self._settings = show, notify, settings
        self._parts: list[bytes] = []
        self._expected, self._refused = 0, False
        self._upload = Upload(
            max_bytes=settings.max_upload_bytes, sizing_mode="stretch_width", margin=0
        )
        self._upload.on_msg(self._on_message)
        self._named = field(
            pn.widgets.Select,
            t("Trace file"),
            seen=False,
            options=list(settings.traces),
            visible=bool(settings.traces),
            css=["attn-of-source"],
        )
        self._restoring = False
        self._named.param.watch(self._on_named, "value")
        self._uploaded: Trace | None = None
        self._work = LatestTask("attnpanel-upload", "file")
        self.row = widget_row(self._named, self._upload)
        document = pn.state.curdoc
        if document is not None and document.session_context is not None:
            pn.state.on_session_destroyed(lambda _session: self._drop_parts())

    def _on_named(self, _event: object) -> None:
        if not self._restoring:
            self.open()

    def open(self) -> None:
        """Show the chosen trace; without one, say what to do."""
        if self._named.value in self._settings.traces:
            self._show(self._settings.traces[self._named.value], {})
        elif self._uploaded is not None:
            self._show(self._uploaded, {})
        else:
            self._notify(
                "plain", t("Choose a trace file: a .safetensors file written by Trace.save().")
            )

    def address(self) -> dict[str, str]:
        """Return the query parameters of the file; none for an upload, which is not stored."""
        return {"trace": self._named.value} if self._named.value else {}

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Choose the trace that a link names; return one sentence if the server lacks it."""
        if texts.get("trace") in self._settings.traces:
            self._restoring = True
            self._named.value = texts["trace"]
            self._restoring = False
        elif "trace" in texts:
            return [t("This server has no trace with the name in the link.")]
        elif not self._settings.traces:
            return [t("A link does not contain an uploaded file: choose the file again.")]
        return []

    def _on_message(self, event: Any) -> None:
        """Receive one chunk of an upload; an invalid upload is discarded with a message."""
        message = event.data
        if not isinstance(message, dict):
            return
        if "refused" in message:
            self._notify("error", str(message["refused"])[:300])
            return
        chunk, offset, size = (message.get(key) for key in ("chunk", "offset", "size"))
        if offset == 0:
            self._drop_parts()
            refusal = self._settings.uploads.refusal(self, self._drop_parts)
            self._refused = refusal is not None
            if refusal is not None:
                self._notify("error", refusal)
                return
            self._expected = size if isinstance(size, int) else -1
        if self._refused:
            return  # the rest of a file that was refused
        self._settings.uploads.touch(self)
        received = sum(map(len, self._parts))
        if self._expected > self._settings.max_upload_bytes:
            self._drop_parts()
            limit = f"{self._settings.max_upload_bytes / 1e6:.0f} MB"
            self._notify("error", t("A trace file may have at most {limit}.", limit=limit))
            return
        if (
            not isinstance(chunk, bytes)
            or offset != received
            or received + len(chunk) > self._expected
        ):
            self._drop_parts()
            self._notify("error", t("The upload was interrupted. Choose the file again."))
            return
        self._parts.append(chunk)
        if received + len(chunk) == self._expected:
            data = b"".join(self._parts)
            self._drop_parts()
            self._open_bytes(data, str(message.get("name", "upload"))[:120])

    def _drop_parts(self) -> None:
        """Forget what has arrived of an upload, so that another may begin."""
        self._parts, self._expected = [], -1
        self._settings.uploads.release(self)

    def _open_bytes(self, data: bytes, name: str) -> None:
        """Show an uploaded file; a large one is read in a thread."""
        if len(data) <= MAX_IN_LOOP:
            try:
                self._take(_read(data, name), name)
            except ValueError as error:
                self._on_error(f"{error}.")
            return
        self._notify("busy", t("Reading the file …"))
        self._work.start(
            lambda _on_progress: _read(data, name),
            on_done=lambda trace: self._take(trace, name),
            on_error=self._on_error,
            on_progress=lambda text: self._notify("busy", text),
        )

    def _take(self, trace: Trace, name: str) -> None:
        if not trace.calls:
            text = t("{name} holds no attention call, so there is nothing to show.", name=name)
            self._notify("error", text)
            return
        if self._show(trace, {}):
            self._uploaded = trace

    def _on_error(self, problem: str) -> None:
        self._notify("error", f"{problem} {t('What was shown before is still here.')}")

    def abandon(self) -> None:
        """Drop a file that is still being read; called when another source is chosen."""
        self._work.abandon()


def _read(data: bytes, name: str) -> Trace:
    """Read an uploaded trace, and check that it can be shown."""
    trace = Trace.from_bytes(data, name)
    check_computable(trace)
    return trace
