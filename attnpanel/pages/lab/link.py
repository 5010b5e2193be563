"""The lab's choices as query parameters of a link; `js/lab/address.js` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from attnpanel.training.records import Run

NO_RUNS = "none"
MAX_LETTERS = 20_000


@dataclass(frozen=True)
class LabLink:
    """What a link asks for.

    Attributes
    ----------
    run : int, optional
        The run whose attention is shown.
    created : str
        When that run was created, since another server's run of this number is another; empty if
        the link does not say.
    drawn : tuple of int, optional
        The runs whose curves are drawn; None leaves them to the page.
    view : dict
        ``step``, ``head``, ``sequence`` and ``without`` as texts, for `js/lab/address.js`.
    """

    run: int | None = None
    created: str = ""
    drawn: tuple[int, ...] | None = None
    view: Mapping[str, str] | None = None

    def problem(self, runs: Mapping[int, Run]) -> str:
        """Return why the run is not among these, or empty if it is or none is asked for."""
        run = None if self.run is None else runs.get(self.run)
        if self.run is None or (run is not None and self.created in ("", run.created)):
            return ""
        return t(
            "This server does not know run {number} of the link: it was deleted, or trained on "
            "another server.",
            number=self.run,
        )


def read_link(texts: Mapping[str, str]) -> LabLink:
    """Return the choices in a link's query parameters, which are untrusted; drop invalid ones."""
    drawn = texts.get("drawn")
    numbers = None if drawn is None else tuple(filter(None, map(_number, drawn.split(","))))
    return LabLink(
        run=_number(texts.get("run", "")),
        created=texts.get("created", ""),
        drawn=numbers if numbers or drawn == NO_RUNS else None,
        view={
            name: texts[name][:MAX_LETTERS]
            for name in ("step", "head", "sequence", "without")
            if name in texts
        },
    )


def link_choices(
    runs: Mapping[int, Run], number: int | None, drawn: Collection[int]
) -> dict[str, str]:
    """Return the query parameters of the run that is shown and of the runs that are drawn."""
    if number is None:
        return {}
    return {
        "run": str(number),
        "created": runs[number].created,
        "drawn": ",".join(map(str, sorted(drawn))) or NO_RUNS,
    }


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 10 else None
