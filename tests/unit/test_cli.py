"""The command line: arguments, exit statuses, and one line for what went wrong."""

import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnpanel.__main__ import main
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.trace import Trace
from tests.hand_made import call, trace_of


@pytest.fixture
def served(monkeypatch):
    """What serve() was called with, instead of serving."""
    got = SimpleNamespace(traces=None, options=None)

    def serve(traces, **options):
        got.traces, got.options = list(traces), options
        return 0

    monkeypatch.setattr("attnpanel.pages.server.serve", serve)
    return got


def one_line(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("attnpanel: ")
    return err


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["bench", "--help"]])
def test_help_is_printed(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)

    assert stopped.value.code == 0
    assert "usage: attnpanel" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["nosuch"], ["serve", "--port", "many"], ["capture"], ["capture", "--text", "hello"]],
)
def test_a_wrong_argument_is_exit_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)

    assert stopped.value.code == 2
    assert "usage: attnpanel" in capsys.readouterr().err


def test_the_command_line_starts_without_torch_or_the_dashboard():
    code = (
        "import sys, attnpanel.__main__\n"
        "heavy = {'torch', 'transformers', 'panel', 'holoviews', 'bokeh', 'numba'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


@pytest.mark.slow
def test_the_server_starts_without_torch():
    code = (
        "import sys, attnpanel.pages.server\n"
        "print(*sorted({'torch', 'transformers'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_python_m_attnpanel_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "attnpanel", "--help"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0
    assert done.stdout.startswith("usage: attnpanel ")


# -- serve ---------------------------------------------------------------------------------


def test_serve_listens_on_this_machine_alone_unless_told_otherwise(served):
    assert main(["serve"]) == 0

    assert served.traces == []
    assert served.options == {
        "port": 5006,
        "address": "localhost",
        "models": ("minilm",),
        "max_tokens": 512,
        "max_upload_bytes": 64_000_000,
        "origins": (),
        "pages": {},
        "further": [],
        "runs": None,
        "max_trainings": 2,
        "shared_runs": None,
        "behind_proxy": False,
        "auth": None,
        "limits": {
            "max_sessions": 200,
            "max_prompts": 30,
            "max_uploads": 4,
            "max_idle_s": 43_200.0,
        },
        "workers": None,
        "scheduler": None,
        "max_prompt_s": 300,
        "static_start": True,
        "language": None,
    }
    defaults = ServerSettings()
    assert {name: getattr(defaults, name) for name in served.options["limits"]} == (
        served.options["limits"]
    )


def test_every_option_of_serve_arrives(served):
    options = ["--port", "0", "--address", "0.0.0.0", "--model", "a", "--model", "b"]  # noqa: S104 - not bound
    caps = ["--max-tokens", "7", "--max-upload-mb", "3", "--max-trainings", "5", "--runs", "r.db"]
    caps += ["--shared-runs", "--proxy", "--auth", "users.json", "--workers", "4"]
    caps += ["--scheduler", "tcp://a:1", "--max-prompt-seconds", "20"]
    caps += ["--max-sessions", "9", "--max-prompts", "8", "--max-uploads", "6"]
    caps += ["--max-idle-minutes", "2", "--no-static-start", "--language", "de"]
    origins = ["--allow-origin", "x.org", "--allow-origin", "y.org:80", "--page", "more=a=b.py"]

    assert main(["serve", "one.safetensors", "two.safetensors", *options, *caps, *origins]) == 0

    assert [str(path) for path in served.traces] == ["one.safetensors", "two.safetensors"]
    assert served.options == {
        "port": 0,
        "address": "0.0.0.0",  # noqa: S104 - not bound
        "models": ("a", "b"),
        "max_tokens": 7,
        "max_upload_bytes": 3_000_000,
        "origins": ("x.org", "y.org:80"),
        "pages": {"more": Path("a=b.py")},
        "further": [],
        "runs": Path("r.db"),
        "max_trainings": 5,
        "shared_runs": True,
        "behind_proxy": True,
        "auth": "users.json",
        "limits": {"max_sessions": 9, "max_prompts": 8, "max_uploads": 6, "max_idle_s": 120.0},
        "workers": 4,
        "scheduler": "tcp://a:1",
        "max_prompt_s": 20,
        "static_start": False,
        "language": "de",
    }


def test_a_page_without_a_name_is_one_line_and_exit_status_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--page", "app.py"])

    assert "must be bench or NAME=FILE.py; got 'app.py'" in capsys.readouterr().err


def test_the_page_of_the_bench_needs_no_file(served):
    assert main(["serve", "--page", "bench"]) == 0

    assert [page.name for page in served.options["further"]] == ["bench"]
    assert served.options["pages"] == {}


def test_the_bench_finds_a_module_in_the_current_folder(monkeypatch, tmp_path):
    got = []
    monkeypatch.setattr("attnpanel.bench.__main__.main", got.append)
    monkeypatch.setattr(sys, "path", ["/somewhere/bin"])  # as a console script has it
    monkeypatch.chdir(tmp_path)

    main(["bench", "certify", "mine:attention"])

    assert got == [["certify", "mine:attention"]]
    assert sys.path == [str(tmp_path), "/somewhere/bin"]


def test_a_missing_trace_is_one_line_and_exit_status_1(capsys, tmp_path):
    assert main(["serve", str(tmp_path / "none.safetensors")]) == 1

    assert "none.safetensors" in one_line(capsys)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04N.", b"\xff" * 100])
def test_a_bad_trace_is_one_line_and_exit_status_1(capsys, tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)

    assert main(["serve", str(path)]) == 1

    assert "bad.safetensors" in one_line(capsys)


def test_a_folder_is_no_trace(capsys, tmp_path):
    assert main(["serve", str(tmp_path)]) == 1

    one_line(capsys)


def test_a_trace_without_calls_is_one_line_and_exit_status_1(capsys, tmp_path):
    path = tmp_path / "empty.safetensors"
    Trace().save(path)

    assert main(["serve", str(path)]) == 1

    assert "at least one attention call; got none" in one_line(capsys)


def test_a_taken_port_is_one_line_that_says_what_to_do(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert main(["serve", "--address", "127.0.0.1", "--port", str(port)]) == 1

    told = one_line(capsys)
    assert f"can't listen on 127.0.0.1:{port}" in told
    assert "PORT=" in told


@pytest.mark.parametrize("port", ["-1", "65536", "99999999999"])
def test_a_port_that_is_none_is_one_line(capsys, port):
    assert main(["serve", "--port", port]) == 1

    assert port in one_line(capsys)


@pytest.mark.parametrize("option", ["--max-tokens", "--max-upload-mb"])
def test_a_cap_that_lets_nothing_through_is_refused_before_serving(capsys, option):
    try:
        status = main(["serve", "--port", "-1", option, "0"])
    except SystemExit as stopped:
        status = stopped.code

    assert status in (1, 2)
    told = capsys.readouterr().err
    assert option.strip("-").replace("-", "_") in told.replace("-", "_")


def test_an_interrupt_ends_quietly(monkeypatch, capsys):
    def interrupted(_traces, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("attnpanel.pages.server.serve", interrupted)

    assert main(["serve"]) == 130
    assert capsys.readouterr() == ("", "")


# -- capture -------------------------------------------------------------------------------


@pytest.fixture
def prompted(monkeypatch):
    got = []

    def trace_prompt(text, model="minilm", *, max_tokens=2048, progress=None):
        got.append((text, model, max_tokens))
        return trace_of(call(query_len=3), query_tokens=[["a", "b", "c"]])

    monkeypatch.setattr("attnpanel.models.prompts.trace_prompt", trace_prompt)
    return got


def test_capture_writes_the_prompts_trace(prompted, tmp_path, capsys):
    path = tmp_path / "out.safetensors"

    arguments = ["--model", "tiny", "--text", "a b c", "--max-tokens", "9", "-o", str(path)]
    assert main(["capture", *arguments]) == 0

    assert prompted == [("a b c", "tiny", 9)]
    assert Trace.load(path).query_tokens == (("a", "b", "c"),)
    assert capsys.readouterr().out == f"{path}: 1 attention calls, 3 tokens\n"


def test_capture_reads_the_prompt_from_a_file(prompted, tmp_path):
    (tmp_path / "prompt.txt").write_text("Grüße\n", encoding="utf-8")

    arguments = ["--text-file", str(tmp_path / "prompt.txt"), "-o", str(tmp_path / "o")]
    assert main(["capture", *arguments]) == 0

    assert prompted[0][0] == "Grüße\n"


def test_a_missing_prompt_file_is_one_line(prompted, tmp_path, capsys):
    arguments = ["--text-file", str(tmp_path / "none.txt"), "-o", str(tmp_path / "o")]

    assert main(["capture", *arguments]) == 1

    assert "none.txt" in one_line(capsys)
    assert prompted == []


def test_a_prompt_file_that_is_no_text_is_one_line(prompted, tmp_path, capsys):
    (tmp_path / "prompt.txt").write_bytes(b"\xff\xfe\x00")

    arguments = ["--text-file", str(tmp_path / "prompt.txt"), "-o", str(tmp_path / "o")]
    assert main(["capture", *arguments]) == 1

    one_line(capsys)


def test_a_folder_that_does_not_exist_is_one_line(prompted, tmp_path, capsys):
    arguments = ["--text", "a b c", "-o", str(tmp_path / "none" / "out.safetensors")]

    assert main(["capture", *arguments]) == 1

    one_line(capsys)


@pytest.mark.model
def test_capture_writes_minilms_attention(tmp_path):
    path = tmp_path / "minilm.safetensors"

    assert main(["capture", "--text", "The trophy does not fit.", "-o", str(path)]) == 0

    trace = Trace.load(path)
    assert [one.heads for one in trace.calls] == [12] * 6
    assert trace.query_tokens[0][:3] == ("[CLS]", "the", "trophy")
