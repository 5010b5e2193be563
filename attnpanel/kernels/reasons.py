"""Why an implementation can't run a request here: the reasons that many of them share, in words."""

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
    """Device, dtype and packages that a request needs and an implementation lacks.

    Parameters
    ----------
    name : str
        Of the implementation; each reason begins with it, so that it stands alone.
    request : Request
    devices, dtypes : tuple of str
        Those the implementation can run.
    packages : tuple of str
        Names that must be importable; nothing is imported.

    Returns
    -------
    list of str
        Empty where nothing is in the way.
    """
    reasons = []
    if request.device not in devices:
        reasons.append(f"{name} runs on {' and '.join(devices)}; got device {request.device}")
    if request.dtype not in dtypes:
        reasons.append(f"{name} computes {', '.join(dtypes)}; got {request.dtype}")
    missing = [package for package in packages if find_spec(package) is None]
    return reasons + [f"{name} needs the package {one}, which is not installed" for one in missing]


def no_device(device: str) -> str:
    """The reason of a request whose type of device, in torch's words, this machine lacks."""
    return f"no {device.upper()} device here"


def device_is_here(device: str) -> bool:
    """Whether there is a device of this type, in torch's words, on this machine."""
    if device == "cpu":
        return True
    if find_spec("torch") is None:
        return False
    import torch

    # torch.accelerator is of 2.6, its options are newer.
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return here is not None and here.type == device
