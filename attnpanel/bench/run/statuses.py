"""What becomes of a row whose certificate forbids timing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attnpanel.bench.measure.memory import is_out_of_memory
from attnpanel.kernels.reasons import no_device

if TYPE_CHECKING:
    from attnpanel.bench.run.records import Agreement, Status

STATUSES: Final[tuple[Status, ...]] = (
    *("crashed", "killed", "out of memory", "timed out", "error"),
)
INTERPRETED: Final = "its kernel's interpreter computed it here, whose time says nothing"


def why_untimed(agreement: Agreement, device: str) -> tuple[Status, tuple[str, ...]]:
    """Return the status and the reasons of a row that is not timed, by its certificate."""
    if agreement.basis == "interpreted" and agreement.verdict in ("pass", "graded"):
        return "unsupported", (INTERPRETED,)
    if agreement.verdict == "pass":
        return "unsupported", (no_device(device),)
    status: Status = "not certified" if agreement.verdict == "fail" else "unsupported"
    if agreement.verdict == "error":
        words = agreement.reasons[0] if agreement.reasons else ""
        told = (each for each in (*STATUSES, "refused") if words.startswith(f"{each}:"))
        status = next(told, "error")
        if is_out_of_memory(" ".join(agreement.reasons)):
            status = "out of memory"
    return status, agreement.reasons


def ran_out_of_memory(agreement: Agreement) -> bool:
    """Whether a certificate ended for lack of memory, or was killed, maybe for that."""
    words = " ".join(agreement.reasons)
    killed = words.startswith("killed:")
    return agreement.verdict == "error" and (killed or is_out_of_memory(words))
