"""The command-line commands that train tiny transformers: `attnpanel train | runs`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from attnpanel.trace.atomic_write import atomic_write
from attnpanel.training.settings import BOUNDS, TrainingSettings
from attnpanel.training.tasks import TASK_NAMES

if TYPE_CHECKING:
    import argparse

    from attnpanel.training.records import Point

HELP = {
    "heads": "attention heads a layer",
    "d_model": "channels of the residual stream, a multiple of the heads",
    "layers": "layers",
    "steps": "steps of training",
    "batch": "sequences a step",
    "seed": "of the first weights and of the examples",
}


def add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `attnpanel train`."""
    train = commands.add_parser(
        "train", help="train a tiny transformer and keep the run, as the page /lab does"
    )
    train.add_argument(
        "--task",
        choices=TASK_NAMES,
        default=TrainingSettings.task,
        help=f"what it learns (default {TrainingSettings.task})",
    )
    train.add_argument(
        "--text-file", type=Path, metavar="FILE", help="a UTF-8 text to learn: the task is text"
    )
    for name, meaning in HELP.items():
        default, (least, most) = getattr(TrainingSettings, name), BOUNDS[name]
        train.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            default=default,
            metavar="N",
            help=f"{meaning}, {least} to {most} (default {default})",
        )
    train.add_argument(
        "--learning-rate",
        type=float,
        default=TrainingSettings.learning_rate,
        help=f"of AdamW (default {TrainingSettings.learning_rate:g})",
    )
    train.add_argument(
        "--no-attention",
        action="store_false",
        dest="attends",
        help="the baseline: every layer without its attention",
    )
    train.add_argument("--name", default="", help="what the run is called")
    _add_store(train)
    train.set_defaults(run=_train)


def add_runs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `attnpanel runs`."""
    runs = commands.add_parser(
        "runs", help="list the kept runs, rename or delete one, take out its model"
    )
    change = runs.add_mutually_exclusive_group()
    change.add_argument("--rename", nargs=2, metavar=("RUN", "NAME"), help="by its number")
    change.add_argument("--delete", type=int, metavar="RUN", help="by its number")
    change.add_argument(
        "--model",
        nargs=2,
        metavar=("RUN", "FILE"),
        help="write the weights that a run ended with, as safetensors",
    )
    change.add_argument(
        "--trace",
        nargs=3,
        metavar=("RUN", "FILE", "TEXT"),
        help="write the attention its model pays to another text, for attnpanel serve FILE",
    )
    _add_store(runs)
    runs.set_defaults(run=_runs)


def _add_store(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--runs",
        type=Path,
        metavar="FILE",
        dest="store",
        help="where runs are kept (default: ATTNPANEL_RUNS, or the user's data folder)",
    )


def _train(options: argparse.Namespace) -> int:
    from attnpanel.training.runner import run_training
    from attnpanel.training.store import RunStore
    from attnpanel.training.training_text import read_text

    text = None
    if options.text_file is not None:
        options.task, text = "text", read_text(options.text_file.read_bytes())
    names = [field.name for field in fields(TrainingSettings)]
    settings = TrainingSettings(**{name: getattr(options, name) for name in names})
    store = RunStore(options.store)
    number = store.create(settings, options.name, text)
    print(f"run {number}: {store.run(number).name}", flush=True)

    def on_progress(step: int, point: Point | None) -> None:
        if point is not None:
            print(
                f"step {step} of {settings.steps} · held-out loss {point.loss:.3f} · "
                f"accuracy {point.accuracy:.2f}",
                flush=True,
            )

    state = run_training(store, number, on_progress=on_progress)
    run, last = store.run(number), store.points(number)[-1]
    print(
        f"run {number} {state}: accuracy {last.accuracy:.2f} after {last.step} steps and "
        f"{run.seconds:.0f} s; see it on the page /lab of: attnpanel serve"
    )
    return 0


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"a run's number must be an integer; got {text[:40]!r}")
    return int(text)


def _runs(options: argparse.Namespace) -> int:
    from attnpanel.training.checkpoint import trace_run
    from attnpanel.training.store import RunStore

    store = RunStore(options.store)
    if options.model is not None:
        number, path = options.model
        weights = store.model_bytes(_number(number))
        with atomic_write(path) as file:
            file.write_bytes(weights)
        print(path)
        return 0
    if options.trace is not None:
        number, path, text = options.trace
        trace_run(store, _number(number), text).save(path)
        print(path)
        return 0
    if options.rename is not None:
        number, name = options.rename
        store.rename(store.run(_number(number)).id, name)
    if options.delete is not None:
        store.delete(options.delete)
    for run in store.runs():
        points = store.points(run.id)
        accuracy = f"{points[-1].accuracy:.2f}" if points else "   –"
        steps = f"{run.step} of {run.settings.steps}"
        print(f"{run.id:4}  {run.state:11}  {accuracy}  {steps:>14}  {run.name}")
    return 0
