"""Reasons, shared by many implementations, why a request can't run here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnpanel.kernels.request import Request


def unmet(
    name: str,
    request: Request,
    *,
    devices: tuple[str, ...],
    dtypes: tuple[str, ...],
    packages: tuple[str, ...] = (),
) -> list[str]:
    """List the device, dtype and packages of a request that an implementation lacks.

    Parameters
    ----------
    name : str
        Name of the implementation, with which each reason begins.
    request : Request
    devices, dtypes : tuple of str
        Those that the implementation supports.
    packages : tuple of str
        Packages that must be importable; none is imported.

    Returns
    -------
    list of str
        One sentence per reason; empty if there is none.
    """
    reasons = []
    if request.device not in devices:
        reasons.append(f"{name} runs on {' and '.join(devices)}; got device {request.device}")
    if request.dtype not in dtypes:
        reasons.append(f"{name} computes {', '.join(dtypes)}; got {request.dtype}")
    missing = [package for package in packages if find_spec(package) is None]
    return reasons + [
        f"{name} needs the package {package}, which is not installed" for package in missing
    ]


def no_device(device: str) -> str:
    """Return the reason for a request whose type of device this machine lacks."""
    return f"no {device.upper()} device here"


def device_is_here(device: str) -> bool:
    """Return whether this machine has a device of this type, by torch's name."""
    if device == "cpu":
        return True
    if find_spec("torch") is None:
        return False
    import torch

    # Without arguments: torch.accelerator exists since 2.6, its options are newer.
    if not torch.accelerator.is_available():
        return False
    current = torch.accelerator.current_accelerator()
    return current is not None and current.type == device
