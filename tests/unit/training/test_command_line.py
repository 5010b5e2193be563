"""`attnpanel train` and `attnpanel runs`."""

import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file

from attnpanel.__main__ import main
from attnpanel.trace import Trace
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore


@pytest.fixture
def file(tmp_path):
    return tmp_path / "runs.sqlite3"


def train(file, *arguments):
    small = ["--d-model", "8", "--heads", "2", "--steps", "10", "--batch", "3"]
    return main(["train", *small, *arguments, "--runs", str(file)])


def test_a_run_is_trained_reported_and_stored(file, capsys):
    assert train(file, "--task", "sort", "--name", "mine", "--seed", "9", "--no-attention") == 0

    first, *between, last = capsys.readouterr().out.splitlines()
    assert first == "run 1: mine"
    assert between[-1].startswith("step 10 of 10 · held-out loss ")
    assert last.startswith("run 1 done: accuracy 0.")
    run = RunStore(file).run(1)
    assert run.settings == TrainingSettings("sort", 2, 8, 2, 10, 1e-3, 3, 9, attends=False)


def test_a_text_file_is_learned(file, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("hello world " * 200, encoding="utf-8")

    assert train(file, "--text-file", str(path)) == 0

    store = RunStore(file)
    assert store.run(1).settings.task == "text"
    assert set(store.trace(1, 10).query_tokens[0]) == set("helowrd␣")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--heads", "3"], "heads must divide d_model; got 3 heads for d_model 8"),
        (["--learning-rate", "nan"], "learning_rate must be finite"),
        (["--text-file", "gone.txt"], "gone.txt"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_keeps_no_run(file, capsys, arguments, said):
    assert train(file, *arguments) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert RunStore(file).runs() == []


def test_runs_are_listed_renamed_and_deleted(file, capsys):
    store = RunStore(file)
    store.create(TrainingSettings(), "one")
    store.create(TrainingSettings(), "two")

    assert main(["runs", "--rename", "1", "uno", "--runs", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "   2  waiting         –        0 of 600  two",
        "   1  waiting         –        0 of 600  uno",
    ]
    assert main(["runs", "--delete", "2", "--runs", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == ["   1  waiting         –        0 of 600  uno"]
    assert main(["runs", "--delete", "2", "--runs", str(file)]) == 1
    assert capsys.readouterr().err == "attnpanel: there is no run 2; it may have been deleted\n"


def test_a_runs_model_is_exported_and_traces_another_text(file, tmp_path, capsys):
    train(file, "--layers", "1")
    weights, attention = tmp_path / "model.safetensors", tmp_path / "trace.safetensors"

    assert main(["runs", "--model", "1", str(weights), "--runs", str(file)]) == 0
    assert main(["runs", "--trace", "1", str(attention), "a b a", "--runs", str(file)]) == 0

    assert load_file(weights)["blocks.0.attention.output.weight"].shape == (8, 8)
    trace = Trace.load(attention)
    assert trace.query_tokens[0] == ("a", "b", "a")
    assert (len(trace.calls), trace.calls[0].heads) == (1, 2)
    capsys.readouterr()
    assert main(["runs", "--trace", "x", "t", "a", "--runs", str(file)]) == 1
    assert capsys.readouterr().err == "attnpanel: a run's number must be an integer; got 'x'\n"
