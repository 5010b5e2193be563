"""Fuzz the parsers, guided by coverage: ``python -m tests.fuzz.run [TARGET …] [--seconds 15]``.

Starts each target from the inputs in ``corpus/``, in a process of its own. What breaks a promise is
printed and kept in ``dist/fuzz``; add it to the corpus once it is mended.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
FOUND = Path("dist/fuzz")
NAMES = sorted(folder.name for folder in CORPUS.iterdir())
MOST_BYTES = 8192
MOST_SECONDS_AN_INPUT = 10


def main() -> int:
    """Run the targets one after another; return how many failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=15, help="of each target (default 15)")
    options = parser.parse_args()
    unknown = set(options.targets) - set(NAMES)
    if unknown:
        parser.error(f"a target must be one of {', '.join(NAMES)}; got {', '.join(unknown)}")
    FOUND.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in options.targets or NAMES:
        print(f"fuzz: {name}", flush=True)  # noqa: T201 - a command's output
        with tempfile.TemporaryDirectory() as grown:
            command = [sys.executable, "-m", "tests.fuzz.run_target", name, grown]
            command += [str(CORPUS / name), f"-max_total_time={options.seconds}"]
            command += [f"-max_len={MOST_BYTES}", f"-timeout={MOST_SECONDS_AN_INPUT}"]
            command += [f"-artifact_prefix={FOUND}/{name}-", "-rss_limit_mb=4096"]
            command += ["-verbosity=0", "-print_final_stats=1"]
            failed += subprocess.run(command, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
