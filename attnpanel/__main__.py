"""Parse the command line: `attnpanel serve | report | capture | train | runs | bench`."""

from __future__ import annotations

import argparse
import gc
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from attnpanel.attention.errors import os_error_text
from attnpanel.training.command_line import add_runs, add_train

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after the command's name; `sys.argv` by default.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["bench"]:
        return _bench(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="attnpanel", description="See attention, check it, time it."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_report(commands)
    _add_capture(commands)
    add_train(commands)
    add_runs(commands)
    commands.add_parser("bench", help="is an implementation of attention right, and how fast?")
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except OSError as error:
        print(f"attnpanel: {os_error_text(error)}", file=sys.stderr)
        return 1
    except (ValueError, ImportError) as error:
        print(f"attnpanel: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


class _Version(argparse.Action):
    """Print the version, looked up only on request: an uninstalled checkout has none."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"attnpanel {version('attnpanel')}")
        parser.exit()


# Limits of `serve`, with their defaults.
LIMITS = (
    ("--max-sessions", 200, "pages that may be open at a time"),
    ("--max-prompts", 30, "prompts that a page may start in a minute"),
    ("--max-uploads", 4, "files that may be uploaded at a time"),
    ("--max-prompt-seconds", 300, "seconds that a prompt may take on a worker of --scheduler"),
    ("--max-idle-minutes", 720, "minutes after which a page that nobody uses is disconnected"),
)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser("serve", help="serve the dashboard and print its address")
    serve.add_argument("traces", nargs="*", type=Path, metavar="TRACE", help="trace files to offer")
    serve.add_argument(
        "--port", type=int, default=5006, help="0 takes any free port (default 5006)"
    )
    serve.add_argument(
        "--address", default="localhost", help="what to listen on (default: this machine only)"
    )
    serve.add_argument(
        "--model",
        action="append",
        dest="models",
        metavar="NAME_OR_FOLDER",
        help="a model visitors may run prompts through; repeat for several (default minilm)",
    )
    serve.add_argument(
        "--max-tokens", type=int, default=512, help="longest prompt, in tokens (default 512)"
    )
    serve.add_argument(
        "--max-upload-mb", type=int, default=64, help="largest trace file, in MB (default 64)"
    )
    serve.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="a further name this server is reached by, as behind a proxy; repeat for several",
    )
    serve.add_argument(
        "--page",
        action="append",
        dest="pages",
        default=[],
        type=_page,
        metavar="bench|NAME=FILE.py",
        help="a further page: the bench, on which visitors may start short runs, or a Panel app, "
        "linked as /NAME; repeat for several",
    )
    serve.add_argument(
        "--runs",
        type=Path,
        metavar="FILE",
        help="where the lab keeps its runs (default: ATTNPANEL_RUNS, or the user's data folder)",
    )
    serve.add_argument(
        "--max-trainings", type=int, default=2, help="runs that may train at a time (default 2)"
    )
    for option, default, meaning in LIMITS:
        serve.add_argument(option, type=int, default=default, help=f"{meaning} (default {default})")
    serve.add_argument(
        "--workers",
        type=int,
        help="prompts, reports and other long works that run at a time (default: one a core)",
    )
    serve.add_argument(
        "--scheduler",
        metavar="tcp://…",
        help="run prompts on the workers of this Dask scheduler, started with --resources "
        "prompts=1: docs/deploy.md",
    )
    serve.add_argument(
        "--static-start",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show the toy as one cached document, which gets a session when its reader first "
        "needs Python (default: yes)",
    )
    serve.add_argument(
        "--language",
        help="the pages' language, unless an address has ?lang=…: en, de or zh (default: the one "
        "that a browser prefers)",
    )
    serve.add_argument("--num-procs", type=int, default=1, help=argparse.SUPPRESS)
    serve.add_argument(
        "--shared-runs",
        action="store_true",
        help="visitors may stop, rename and delete one another's runs in the lab, as they may "
        "without it where only this machine is listened to",
    )
    serve.add_argument(
        "--auth",
        metavar="USERS.json|PROVIDER",
        help='who may come in: a file of {"user": "password"}, or an OAuth provider of Panel\'s, '
        "set up by its PANEL_OAUTH_… variables",
    )
    serve.add_argument(
        "--proxy",
        action="store_true",
        help="a proxy stands before this server: believe its X-Forwarded-For, -Proto and -Host",
    )
    serve.set_defaults(run=_serve)


def _page(text: str) -> tuple[str, Path | None]:
    """Return the name and the file of a further page; the bench has none."""
    if text == "bench":
        return text, None
    name, equals, path = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be bench or NAME=FILE.py; got {text!r}")
    return name, Path(path)


def _bench(arguments: Sequence[str]) -> int:
    from attnpanel.bench.__main__ import main as bench_main

    # A module to certify is looked up in the current folder, as under `python -m`.
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    return bench_main(arguments)


def _serve(options: argparse.Namespace) -> int:
    if options.num_procs != 1:
        raise ValueError(
            "a page lives in one process, so --num-procs must be 1; for more than one start "
            "several servers behind a proxy: docs/deploy.md"
        )
    limits = [option.removeprefix("--").replace("-", "_") for option, *_ in LIMITS]
    for name in ("max_tokens", "max_upload_mb", "max_trainings", "workers", *limits):
        value = getattr(options, name)
        if value is not None and value < 1:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be at least 1; got {value}")
    from attnpanel.pages.registry import SitePage
    from attnpanel.pages.server import serve

    further: list[SitePage] = []
    if ("bench", None) in options.pages:
        from attnpanel.bench.page.served import bench_page

        further.append(SitePage("bench", "Bench", lambda _settings: bench_page()))
    status = serve(
        options.traces,
        port=options.port,
        address=options.address,
        models=tuple(options.models or ("minilm",)),
        max_tokens=options.max_tokens,
        max_upload_bytes=options.max_upload_mb * 1_000_000,
        origins=tuple(options.allow_origin),
        pages={name: path for name, path in options.pages if path is not None},
        further=further,
        runs=options.runs,
        max_trainings=options.max_trainings,
        shared_runs=options.shared_runs or None,
        behind_proxy=options.proxy,
        auth=options.auth,
        limits={
            "max_sessions": options.max_sessions,
            "max_prompts": options.max_prompts,
            "max_uploads": options.max_uploads,
            "max_idle_s": 60.0 * options.max_idle_minutes,
        },
        workers=options.workers,
        scheduler=options.scheduler,
        max_prompt_s=options.max_prompt_seconds,
        static_start=options.static_start,
        language=options.language,
    )
    gc.freeze()  # the interpreter's last collection would take seconds
    return status


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report = commands.add_parser("report", help="write the explorer as one offline HTML file")
    source = report.add_mutually_exclusive_group(required=True)
    source.add_argument("trace", nargs="?", type=Path, metavar="TRACE", help="a trace file")
    source.add_argument("--toy", action="store_true", help="the lesson's toy")
    source.add_argument("--prompt", metavar="TEXT", help="a prompt, run through --model")
    report.add_argument("--model", default="minilm", metavar="NAME_OR_FOLDER")
    report.add_argument("--title", help="the page's title")
    report.add_argument("--language", help="the page's language: en, de or zh (default: en)")
    report.add_argument(
        "--notes",
        type=Path,
        metavar="FILE.md|FILE.json",
        help="Markdown shown below the explorer, or notes that a page exported",
    )
    report.add_argument(
        "--values",
        choices=("auto", "yes", "no"),
        default="auto",
        help="keep the values, for the mix and every paint seed (default: while the file is small)",
    )
    report.add_argument(
        "--dtype",
        choices=("float16", "float32"),
        default="float16",
        help="how queries, keys and values are stored (default float16)",
    )
    report.add_argument(
        "--layers",
        type=_layers,
        metavar="0,3,5-7",
        help="the layers that go in, or a pattern of their names (default: all)",
    )
    report.add_argument(
        "--heads", type=_numbers, metavar="1,4", help="the heads of each that go in (default: all)"
    )
    report.add_argument(
        "--live-model",
        action="store_true",
        help="put the model itself into the file, so that its reader may type another text (59 MB "
        "for minilm)",
    )
    for choice, meaning in (("layer", "layer"), ("head", "head"), ("token", "query token")):
        report.add_argument(f"--{choice}", type=int, help=f"the {meaning} it opens on, from 0")
    report.add_argument("--mask", help="the mask it opens with (default: the model's own)")
    report.add_argument("--temperature", type=float, help="the temperature it opens at (default 1)")
    report.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.html")
    report.set_defaults(run=_report)


def _numbers(text: str) -> list[int]:
    """Parse numbers as in `0,3,5-7`; both ends of a range are included."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or not (last if dash else first).isdecimal():
            raise argparse.ArgumentTypeError(f"must be numbers as in 0,3,5-7; got {text!r}")
        numbers += range(int(first), int(last if dash else first) + 1)
    return numbers


def _layers(text: str) -> list[int] | str:
    """Parse numbers, or return a pattern of names unchanged."""
    return _numbers(text) if set(text) <= set("0123456789,- ") else text


def _report(options: argparse.Namespace) -> int:
    from attnpanel.models.toy import toy_trace
    from attnpanel.pages.explorer.report import save_report
    from attnpanel.trace import Trace

    if options.toy:
        trace = toy_trace()
    elif options.prompt is not None:
        from attnpanel.models.prompts import trace_prompt

        trace = trace_prompt(options.prompt, model=options.model)
    else:
        trace = Trace.load(options.trace)
    values: Literal["auto"] | bool = "auto" if options.values == "auto" else options.values == "yes"
    choices = {
        "layer": options.layer,
        "head": options.head,
        "query_index": options.token,
        "mask": options.mask,
        "temperature": options.temperature,
    }
    path = save_report(
        trace,
        options.output,
        title=options.title,
        notes=options.notes,
        values=values,
        dtype=options.dtype,
        layers=options.layers,
        heads=options.heads,
        model=options.live_model and options.model,
        language=options.language,
        **{name: choice for name, choice in choices.items() if choice is not None},
    )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, opens without a server or a network")
    return 0


def _add_capture(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    capture = commands.add_parser(
        "capture", help="run a prompt through a model, save its attention"
    )
    capture.add_argument("--model", default="minilm", metavar="NAME_OR_FOLDER")
    text = capture.add_mutually_exclusive_group(required=True)
    text.add_argument("--text", help="the prompt")
    text.add_argument("--text-file", type=Path, help="a UTF-8 file that holds the prompt")
    capture.add_argument("--max-tokens", type=int, default=2048, help="longest prompt, in tokens")
    capture.add_argument(
        "--generate",
        type=int,
        metavar="N",
        help="have a language model write N tokens more, and save its attention over the whole",
    )
    capture.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.safetensors")
    capture.set_defaults(run=_capture)


def _capture(options: argparse.Namespace) -> int:
    from attnpanel.models.generation import trace_generation
    from attnpanel.models.prompts import trace_prompt

    text = options.text
    if text is None:
        text = options.text_file.read_text(encoding="utf-8")
    limits = {"model": options.model, "max_tokens": options.max_tokens}
    if options.generate is None:
        trace = trace_prompt(text, **limits)
    else:
        trace = trace_generation(text, new_tokens=options.generate, **limits)
    trace.save(options.output)
    calls, tokens = len(trace.calls), len(trace.query_tokens[0])
    print(f"{options.output}: {calls} attention calls, {tokens} tokens")
    if options.generate is not None:
        print("".join(trace.query_tokens[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
