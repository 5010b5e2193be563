"""Fuzz the parsers, guided by coverage: ``python -m tests.fuzz.run [TARGET …] [--seconds 15]``.

Starts each target from the inputs in ``corpus/``, in a process of its own, as many at a time as
there are cores. What breaks a promise is printed and kept in ``dist/fuzz``; add it to the corpus
once it is mended.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
FOUND = Path("dist/fuzz")
NAMES = sorted(folder.name for folder in CORPUS.iterdir())
MOST_BYTES = 8192
MOST_SECONDS_AN_INPUT = 10


def main() -> int:
    """Run the targets; return how many failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=15, help="of each target (default 15)")
    options = parser.parse_args()
    unknown = set(options.targets) - set(NAMES)
    if unknown:
        parser.error(f"a target must be one of {', '.join(NAMES)}; got {', '.join(unknown)}")
    FOUND.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(partial(fails, seconds=options.seconds), options.targets or NAMES))


def fails(name: str, seconds: int) -> bool:
    """Fuzz a target, print what it says, and return whether it failed."""
    with tempfile.TemporaryDirectory() as grown:
        command = [sys.executable, "-m", "tests.fuzz.run_target", name, grown]
        command += [str(CORPUS / name), f"-max_total_time={seconds}"]
        command += [f"-max_len={MOST_BYTES}", f"-timeout={MOST_SECONDS_AN_INPUT}"]
        command += [f"-artifact_prefix={FOUND}/{name}-", "-rss_limit_mb=4096"]
        command += ["-verbosity=0", "-print_final_stats=1"]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    said = done.stdout.decode(errors="replace")
    print(f"fuzz: {name}\n{said}", end="", flush=True)  # noqa: T201 - a command's output
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
