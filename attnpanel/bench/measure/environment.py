"""The environment of a measurement: machine, load, versions and commit."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The folder of the package: of a checkout, or of the environment that it was installed in.
ROOT = Path(__file__).resolve().parents[3]
# Where results go by default, seen from the current folder: to those that a checkout keeps.
RESULTS = Path("bench/results") if Path("bench/results").is_dir() else Path()
PACKAGES = (
    "numpy",
    "panel",
    "holoviews",
    "bokeh",
    "param",
    "torch",
    "triton",
    "onnxruntime",
    "jax",
)
# Each of these sets the number of threads of a library under NumPy or torch.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
Load = tuple[float, float, float]


@dataclass(frozen=True)
class Environment:
    """The facts needed to interpret a measurement.

    Attributes
    ----------
    date_utc : str
        ISO 8601, when the run began.
    commit : str or None
        None outside a git checkout.
    dirty : bool or None
        Whether the working tree, without `bench/results`, differs from the commit.
    cpu_model : str
    cores : int
        Cores that this process may use.
    memory_bytes : int or None
    os, python : str
    versions : dict of str to str
        Versions of the installed packages of `PACKAGES`.
    browser : str or None
        None if no browser was used.
    thread_variables : dict of str to str
        The variables of `THREAD_VARIABLES` that are set.
    load_before, load_after : (float, float, float) or None
        Load average over 1, 5 and 15 minutes; None if unknown.
    """

    date_utc: str
    commit: str | None
    dirty: bool | None
    cpu_model: str
    cores: int
    memory_bytes: int | None
    os: str
    python: str
    versions: dict[str, str]
    browser: str | None
    thread_variables: dict[str, str]
    load_before: Load | None
    load_after: Load | None

    @property
    def noisy(self) -> bool:
        """Whether other processes kept the cores busy before the run."""
        return self.load_before is not None and self.load_before[0] > self.cores


def describe(browser: str | None = None) -> Environment:
    """Describe the current environment; `load_after` is set at the end of the run.

    Parameters
    ----------
    browser : str, optional
        Name and version of the browser.
    """
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", ".", ":!bench/results")
    return Environment(
        date_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit,
        dirty=None if changes is None else bool(changes),
        cpu_model=_cpu_model(),
        cores=available_cores(),
        memory_bytes=_memory_bytes(),
        os=platform.platform(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions=_versions(),
        browser=browser,
        thread_variables={
            name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ
        },
        load_before=load(),
        load_after=None,
    )


def in_checkout() -> bool:
    """Whether this code is that of a checkout: not installed, but for development."""
    return (ROOT / "pyproject.toml").is_file()


def load() -> Load | None:
    """Return the load average over 1, 5 and 15 minutes; None if unknown."""
    try:
        return os.getloadavg()
    except (AttributeError, OSError):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str | None:
    if not in_checkout():  # an environment may lie in a checkout of something else
        return None
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
