"""A run's model in the page: a typed sequence, stepping back, knocking out a head, writing on."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel.pages.lab.report import save_training_report
from attnpanel.training.loop import make_model
from attnpanel.training.runner import run_training
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore
from attnpanel.training.tasks import make_task
from tests.browser.conftest import Problems, started

pytest_plugins = ["tests.browser.axe_checks"]

torch = pytest.importorskip("torch")

COPY = TrainingSettings(task="copy", d_model=8, heads=2, layers=1, steps=20, batch=8)
TEXT = TrainingSettings(task="text", d_model=8, heads=2, layers=1, steps=10, batch=2)
TYPED = "c a d | c a"
FIELD = "A sequence for this run's model"
VIEWPORT = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Four runs: copy, text, the baseline, and one whose weights are gone."""
    store = RunStore(tmp_path_factory.mktemp("live") / "runs.sqlite3")
    baseline = TrainingSettings(**{**vars(COPY), "attends": False})
    for settings in (COPY, TEXT, baseline, COPY):
        run_training(store, store.create(settings))
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("DELETE FROM checkpoints WHERE run = 4")
        database.execute("DELETE FROM models WHERE run = 4")
    database.close()
    return store


@pytest.fixture(scope="module")
def _opened(browser, store, tmp_path_factory):
    context, problems = browser.new_context(offline=True, viewport=VIEWPORT), Problems()
    problems.watch(context)
    pages, folder = {}, tmp_path_factory.mktemp("reports")

    def show(number):
        if number not in pages:
            path = save_training_report(store, [number], folder / f"{number}.html")
            pages[number] = context.new_page()
            pages[number].goto(path.as_uri())
            pages[number].locator(".lab-sequence").wait_for()
        return pages[number]

    yield show, problems
    context.close()


@pytest.fixture
def open_report(_opened):
    """Return the report of a run, opened once without a network, at its last step and example."""
    show, problems = _opened

    def open_report(number):
        page = show(number)
        for name in ("Put it back", "The run's example"):
            buttons = page.get_by_role("button", name=name).filter(visible=True)
            if buttons.count():
                buttons.first.click()
        slider = page.get_by_role("slider", name="Step of training")
        if slider.is_visible():
            slider.press("End")
        return page

    yield open_report
    seen, problems.seen = problems.unexpected(), []
    assert seen == []


def model_at(store, number, step):
    """Return a run's model at a step, its weights as they are kept."""
    from attnpanel.training.live_weights import weight_layout

    settings = store.run(number).settings
    task = make_task(settings.task)
    data = store.checkpoint(number, step).weights
    arrays = {
        each["name"]: torch.from_numpy(
            np.frombuffer(data, each["dtype"], int(np.prod(each["shape"])), each["at"])
            .reshape(each["shape"])
            .astype(np.float32)
        )
        for each in weight_layout(settings, task)[0]
    }
    names = {"up": "mlp.0", "down": "mlp.2", "feed_forward_norm": "before_mlp"}
    state = {"tokens.weight": arrays["words"], "positions.weight": arrays["positions"]}
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = arrays[f"norm.{kind}"]
        state[f"blocks.0.before_attention.{kind}"] = arrays[f"0.attention_norm.{kind}"]
        for part, name in names.items():
            state[f"blocks.0.{name}.{kind}"] = arrays[f"0.{part}.{kind}"]
    state["next_token.weight"] = arrays["next_token.weight"]
    state["blocks.0.attention.output.weight"] = arrays["0.output.weight"]
    parts = [arrays[f"0.{part}.weight"] for part in ("query", "key", "value")]
    state["blocks.0.attention.query_key_value.weight"] = torch.cat(parts)
    model = make_model(settings, task)
    model.load_state_dict(state)
    return task, model.eval()


def expected_losses(task, model, text):
    ids = task.tokens_of(text)
    with torch.no_grad():
        logs = torch.log_softmax(model(torch.tensor([ids])).double(), -1)[0]
    return [-float(logs[at, token]) for at, token in enumerate(ids[1:])]


def attention_row(model, ids, *, head, position):
    """Return the weights of one position in the first layer, computed by PyTorch."""
    attention = model.blocks[0].attention
    with torch.no_grad():
        x = model.tokens(torch.tensor([ids])) + model.positions(torch.arange(len(ids)))
        x = attention.query_key_value(model.blocks[0].before_attention(x))
        query, key, _ = x.view(len(ids), 3, attention.heads, -1).permute(1, 2, 0, 3)
        scores = query[head, position] @ key[head, : position + 1].T / query.shape[-1] ** 0.5
        return scores.softmax(-1).numpy()


def losses_on(page):
    return [float(text) for text in page.locator(".lab-cell small").all_inner_texts()[1:]]


def type_in(page, text):
    page.get_by_label(FIELD).fill(text)


def assert_reads(page, store, number, step, text=TYPED):
    task, model = model_at(store, number, step)
    expect(page.locator(".lab-expect h3")).to_have_text(f"What it expects next, at step {step}")
    expect(page.locator(".lab-cell")).to_have_count(len(task.tokens_of(text)))
    # Two decimals are shown.
    np.testing.assert_allclose(losses_on(page), expected_losses(task, model, text), atol=0.0051)


def test_a_typed_sequence_is_read_as_pytorch_reads_it_at_every_step(open_report, store):
    page = open_report(1)
    expect(page.locator(".lab-cell")).to_have_count(16)  # the run's example
    expect(page.locator(".lab-answer-strip")).to_be_visible()

    type_in(page, TYPED)

    assert_reads(page, store, 1, 20)
    expect(page.locator(".lab-down span")).to_have_text(TYPED.split())
    expect(page.locator(".lab-answer-strip")).to_be_hidden()
    page.get_by_role("slider", name="Step of training").focus()
    page.keyboard.press("Home")
    expect(page.locator(".lab-step-words")).to_have_text("step 0 of 20")
    assert_reads(page, store, 1, 0)
    page.get_by_role("button", name="The run's example").click()
    expect(page.locator(".lab-step-words")).to_have_text("step 0 of 20")
    expect(page.locator(".lab-answer-strip")).to_be_visible()
    expect(page.locator(".lab-cell")).to_have_count(16)


def test_the_next_tokens_of_a_position_are_a_table_that_keys_reach(open_report, store):
    page = open_report(1)
    type_in(page, TYPED)
    reached = page.locator(".lab-cell[tabindex='0']")  # by Tab: one of them
    expect(reached).to_have_count(1)
    reached.focus()
    page.keyboard.press("ArrowLeft")

    expect(page.locator(".attn-candidates caption")).to_contain_text(
        "After “c” (4): “a” comes next"
    )
    task, model = model_at(store, 1, 20)
    with torch.no_grad():
        chances = torch.softmax(model(torch.tensor([task.tokens_of(TYPED)])), -1)[0, 4]
    first = page.get_by_role("row").nth(1)
    expect(first.get_by_role("rowheader")).to_contain_text(task.vocabulary[int(chances.argmax())])
    expect(first.get_by_role("cell")).to_have_text(f"{100 * float(chances.max()):.1f} %")
    # And the row that is outlined in the head on screen is said in words.
    page.get_by_role("button", name="Layer 0, head 1").click()
    row = attention_row(model, task.tokens_of(TYPED), head=1, position=4)
    most = int(row.argmax())
    expect(page.locator(".lab-pair")).to_contain_text(
        f"“c” (4) gives {100 * row[most]:.0f} % to “{TYPED.split()[most]}” ({most})"
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must have 1 to 16 tokens; got 0"),
        ("a " * 17, "must have 1 to 16 tokens; got 17"),
        ("a <b>x</b>", "one of the vocabulary; got “<b>x</b>” as token 1"),
    ],
)
def test_what_the_model_cannot_read_is_refused_and_what_was_read_stays(open_report, text, rule):
    page = open_report(1)
    type_in(page, TYPED)
    before = losses_on(page)

    type_in(page, text)

    expect(page.locator(".lab-sequence-said.error")).to_contain_text(rule)
    assert losses_on(page) == before
    assert page.locator(".lab-sequence-said b").count() == 0
    type_in(page, TYPED)
    expect(page.locator(".lab-sequence-said")).to_have_text("6 of 16 tokens.")


def test_a_head_is_knocked_out_and_put_back(open_report, store):
    page = open_report(1)
    type_in(page, TYPED)
    before = losses_on(page)
    page.get_by_role("button", name="Layer 0, head 1").click()
    page.get_by_role("button", name="Knock it out").click()

    expect(page.get_by_role("columnheader", name="Without 0.1")).to_be_visible()
    expect(
        page.get_by_role("button", name="Layer 0, head 1: 0.1 · out: knocked out")
    ).to_be_visible()
    task, model = model_at(store, 1, 20)
    with torch.no_grad():
        model.blocks[0].attention.output.weight[:, 4:] = 0
    np.testing.assert_allclose(losses_on(page), expected_losses(task, model, TYPED), atol=0.0051)
    expect(page.locator(".lab-loss-words")).to_contain_text(
        re.compile(r"\d\.\d\d → \d\.\d\d nats without 0\.1")
    )
    page.locator(".lab-loss-words").get_by_role("button", name="Put it back").click()
    expect(page.get_by_role("columnheader", name="Without 0.1")).to_have_count(0)
    assert losses_on(page) == before


def write(page, **choices):
    for name, value in choices.items():
        page.get_by_label(name, exact=True).fill(str(value))
    page.get_by_role("button", name="Write on").click()


def written(page):
    return page.locator(".attn-written-token").all_inner_texts()


def test_at_temperature_0_a_model_writes_what_is_likeliest(open_report, store):
    page = open_report(1)
    type_in(page, TYPED)
    write(page, Tokens=5, Temperature=0)
    expect(page.locator(".attn-writing-said")).to_contain_text(
        "5 tokens written by the weights of step 20, temperature 0, top-k 5, seed 1."
    )

    task, model = model_at(store, 1, 20)
    ids = task.tokens_of(TYPED)
    with torch.no_grad():
        for _ in range(5):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert written(page) == task.labels(np.array(ids[6:]))
    # The attention and the candidates of a written token: those of what was before it.
    page.locator(".attn-written-token").nth(1).click()
    expect(page.locator(".lab-down span")).to_have_text(task.labels(np.array(ids[:7])))
    expect(page.locator(".attn-candidates caption")).to_contain_text("was written")
    page.locator(".attn-written-prompt").click()
    expect(page.locator(".lab-down span")).to_have_text(TYPED.split())


@pytest.mark.thorough
def test_a_seed_writes_the_same_text_again_and_past_the_window(open_report):
    page = open_report(2)
    page.get_by_role("button", name="Only a beginning").click()
    said = page.locator(".attn-writing-said")
    texts = []
    for seed, tokens in ((7, 50), (8, 10), (7, 50)):
        write(page, Tokens=tokens, Temperature=1, Seed=seed)
        expect(said).to_contain_text(f"{tokens} tokens written by the weights of step 10")
        expect(said).to_contain_text(f"seed {seed}.")
        texts.append(written(page))

    assert texts[0] == texts[2]
    assert texts[0][:10] != texts[1]
    assert len(texts[0]) == 50
    expect(page.locator(".lab-cell")).to_have_count(64)  # the model reads no more


@pytest.mark.thorough
def test_another_step_ends_a_text_that_would_go_on_by_another_model(open_report):
    page = open_report(2)
    write(page, Tokens=500)
    expect(page.locator(".attn-written-token").nth(2)).to_be_visible()
    page.get_by_role("slider", name="Step of training").focus()
    page.keyboard.press("Home")

    said = page.locator(".attn-writing-said")
    expect(said).to_contain_text("Stopped.")
    expect(said).to_contain_text("written by the weights of step 10,")
    expect(page.get_by_role("button", name="Write on")).to_be_visible()
    assert len(written(page)) < 500


@pytest.mark.thorough
def test_a_task_of_fixed_length_ends_where_the_model_does(open_report):
    page = open_report(1)
    page.get_by_role("button", name="Only a beginning").click()
    write(page, Tokens=40, Temperature=1)
    expect(page.locator(".attn-writing-said")).to_contain_text(
        "At most 16 tokens can be read, so it ends here. 8 tokens written"
    )
    write(page, Temperature=-1)
    expect(page.locator(".attn-writing-said.error")).to_have_text(
        "The temperature must be from 0 to 10; got -1."
    )


@pytest.mark.thorough
def test_the_baseline_reads_without_heads(open_report):
    page = open_report(3)
    expect(page.locator(".lab-cell")).to_have_count(16)  # the run's example
    type_in(page, TYPED)
    expect(page.locator(".lab-cell")).to_have_count(6)
    expect(page.locator(".lab-tile").first).to_be_hidden()
    expect(page.locator(".lab-replay")).to_contain_text("it has no attention to show")


@pytest.mark.thorough
def test_a_run_without_weights_says_why_nothing_can_be_typed(open_report):
    page = open_report(4)
    expect(page.locator(".lab-tile").first).to_be_visible()
    expect(page.get_by_label(FIELD)).to_be_hidden()
    expect(page.locator(".lab-sequence")).to_contain_text("no weights of this run are kept")
    expect(page.locator(".lab-expect")).to_be_hidden()


@pytest.mark.thorough
def test_a_report_with_a_model_has_nothing_serious(open_report, axe):
    page = open_report(1)
    page.get_by_role("button", name="Knock it out").click()
    page.get_by_text("Vocabulary: 13 tokens").click()
    write(page, Tokens=1, Temperature=1)
    expect(page.locator(".attn-writing-said")).to_contain_text("1 token written")
    axe(page)


@pytest.mark.thorough
def test_the_served_page_reads_the_same_with_weights_from_its_server(root, store, open_page):
    page = open_page()
    log = store.path.with_name("server.log")
    with started(root, log, "--runs", str(store.path)) as (_server, address):
        page.goto(f"{address}lab?run=1")
        expect(page.locator(".lab-cell")).to_have_count(16)
        type_in(page, TYPED)
        assert_reads(page, store, 1, 20)
        page.get_by_role("slider", name="Step of training").focus()
        page.keyboard.press("Home")
        assert_reads(page, store, 1, 0)
        expect(page.get_by_role("button", name="This step as a trace")).to_be_hidden()
        page.locator(".lab-run").filter(has_text="without attention").get_by_role(
            "button", name="copy"
        ).click()
        expect(page.locator(".lab-replay")).to_contain_text("it has no attention to show")
        expect(page.locator(".lab-cell")).to_have_count(16)

        # A link opens the same run at the same step and head, with the same curves and words.
        page.goto(f"{address}lab?run=1")
        expect(page.locator(".lab-step-words")).to_have_text("step 20 of 20")
        page.locator(".lab-run").filter(has_text="text").get_by_role("checkbox").uncheck()
        page.get_by_role("button", name="Layer 0, head 1").click()
        page.get_by_role("slider", name="Step of training").press("Home")
        page.keyboard.press("ArrowRight")
        page.get_by_label("Your notes for the report").fill("Head 1 & head 0?")
        page.wait_for_url(re.compile(r"drawn=1%2C3%2C4&head=0\.1&.*step=1#notes=Head"))
        recorded = page.url
        type_in(page, TYPED)
        page.get_by_role("button", name="Knock it out").click()
        page.wait_for_url(re.compile("&sequence=.*&without=0.1"))
        typed = page.url
        page.goto(recorded)
        page.reload()
        expect(page.locator(".lab-step-words")).to_have_text("step 1 of 20")
        expect(page.locator(".lab-pair")).to_contain_text("layer 0, head 1 puts")
        expect(page.locator(".lab-run input:checked")).to_have_count(3)
        expect(page.get_by_label("Your notes for the report")).to_have_value("Head 1 & head 0?")
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(typed)
        expect(page.get_by_label(FIELD)).to_have_value(TYPED)
        expect(page.get_by_role("button", name="Put it back").first).to_be_visible()
        # A phone has what the link is about before the form.
        assert page.locator(".lab-main").bounding_box()["y"] < 100
        assert page.locator(".lab-side").bounding_box()["y"] > 844
        page.goto(recorded.replace("run=1", "run=99"))
        expect(page.locator(".attn-caption.error:visible")).to_contain_text(
            "This server does not know run 99"
        )
        page.close()
