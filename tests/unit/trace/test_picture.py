"""The picture of a trace: its grids and images, and files that lie about them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load, save

from attnpanel.trace import Trace
from attnpanel.trace.picture import MAX_SIDE, Grid, Picture, picture_of
from attnpanel.trace.trace import TraceFileError
from tests.hand_made import call, trace_of

ROWS, COLUMNS = 2, 3
GRID = Grid(ROWS, COLUMNS, 7, 1, ("CLS",))
RED = np.broadcast_to(np.array([255, 0, 0], np.uint8), (5, 7, 3))


def seven() -> Trace:
    return trace_of(call(0, heads=2, query_len=7), query_tokens=[list("abcdefg")])


def test_the_last_tokens_are_the_pictures_unless_a_start_is_given():
    trace = seven()
    trace.set_picture(None, (ROWS, COLUMNS), names=["CLS"])
    assert trace.picture.grids == (GRID,)
    trace.set_picture(None, (2, 2), start=2)
    assert trace.picture.grids == (Grid(2, 2, 7, 2),)
    assert trace.picture.grid_of(8) is None


def test_a_growing_sequence_keeps_its_grid_and_an_exact_length_comes_first():
    text, tower = Grid(2, 2, 9, 3, grows=True), Grid(1, 11, 11)
    picture = Picture((), (text, tower))
    assert [picture.grid_of(n) for n in (8, 9, 10, 11)] == [None, text, text, tower]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (
            (None, (2, 4)),
            "grid must hold the tokens of a call, 2 × 4 = 8 of them; the calls have 7",
        ),
        ((None, (2, 3), 5), "from position 5; the calls have 7"),
        ((None, (0, 7)), r"grid must be \(rows, columns\), two integers from 1"),
        ((None, (2.0, 3)), r"grid must be \(rows, columns\), two integers from 1"),
        ((None, 6), r"grid must be \(rows, columns\), two integers from 1; got 6"),
        ((np.zeros((2, 3, 5, 7, 3)), (2, 3)), "image must have axes"),
        ((np.zeros((5, 7, 9)), (2, 3)), "image must have 1 to 4 channels"),
        ((np.full((5, 7), "a"), (2, 3)), "image must hold numbers"),
    ],
)
def test_a_grid_or_image_that_is_none_is_refused(arguments, rule):
    image, grid, *start = arguments
    with pytest.raises(ValueError, match=rule):
        seven().set_picture(image, grid, start=start[0] if start else None)


@pytest.mark.parametrize(
    "given",
    [
        RED,
        Image.fromarray(RED),
        np.moveaxis(RED, -1, 0),
        RED / 255,
        np.moveaxis(RED / 255, -1, 0)[None] * 2 - 1,  # as a model's normalised input
        np.concatenate([RED, RED[..., :1]], -1),
        RED.astype(np.int64),
    ],
)
def test_an_image_is_read_in_any_form(given):
    (image,) = picture_of(given, [GRID]).images
    np.testing.assert_array_equal(image, RED)


def test_a_path_and_a_batch_are_read_and_large_images_are_scaled(tmp_path):
    Image.fromarray(RED).resize((1400, 1000)).save(tmp_path / "red.png")
    images = picture_of([tmp_path / "red.png", RED[..., 0]], [GRID]).images
    assert images[0].shape == (round(MAX_SIDE * 5 / 7), MAX_SIDE, 3)
    np.testing.assert_array_equal(images[0][0, 0], [255, 0, 0])
    np.testing.assert_array_equal(images[1], np.full((5, 7, 3), 255))


def test_a_file_and_a_part_of_a_trace_keep_the_picture(tmp_path):
    trace = seven()
    trace.set_picture([RED, RED[::-1, :3]], (ROWS, COLUMNS), names=["CLS"])
    trace.save(tmp_path / "a.safetensors")
    loaded = Trace.load(tmp_path / "a.safetensors").select(heads=1)

    assert loaded.picture.grids == trace.picture.grids
    for image, original in zip(loaded.picture.images, (RED, RED[::-1, :3]), strict=True):
        np.testing.assert_array_equal(image, original)


def test_a_layer_with_windows_has_a_grid_of_its_own(tmp_path):
    trace = seven()
    whole, windows = Grid(1, 7, 7), Grid(1, 7, 7, layers=("layer.0",), windows=(2, 1), shift=(0, 3))
    trace.picture = Picture((), (whole, windows))
    trace.save(tmp_path / "a.safetensors")
    picture = Trace.load(tmp_path / "a.safetensors").picture

    assert picture.grids == (whole, windows)
    assert [picture.grid_of(7, layer) for layer in ("layer.0", "layer.1")] == [windows, whole]


def test_a_file_without_texts_has_no_images_either(tmp_path):
    trace = seven()
    trace.set_picture(RED, (ROWS, COLUMNS))
    trace.save(tmp_path / "a.safetensors", tokens=False)

    picture = Trace.load(tmp_path / "a.safetensors").picture
    assert (picture.images, len(picture.grids)) == ((), 1)


def changed_file(tmp_path, change):
    """Return the bytes of a good file whose document, or tensors, were changed."""
    trace = seven()
    trace.set_picture(RED, (ROWS, COLUMNS), names=["CLS"])
    trace.save(tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    document = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["trace"])
    tensors = load(content)
    change(document["picture"], tensors)
    return save(tensors, {"trace": json.dumps(document)})


def in_grid(**fields):
    return lambda record, _: record["grids"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda record, _: record.update(html="<b>"), "picture must have the fields grids, images"),
        (lambda record, _: record.update(images=["no"]), "must name tensors of the file"),
        (lambda record, _: record.update(images=[["picture.0"]]), "must name tensors of the file"),
        (
            lambda record, _: record.update(images=["picture.0"] * 2),
            "at most 32 tensors, each once",
        ),
        (lambda record, _: record.update(images=["0.query"]), "every tensor must belong|an image"),
        (lambda record, _: record.update(images=[]), "every tensor must belong"),
        (lambda record, _: record.update(grids=[]), "must be a list of 1 to 64"),
        (lambda record, _: record.update(grids=record["grids"] * 2), "must have one grid"),
        (in_grid(rows=3), "must fit its sequence"),
        (in_grid(rows=-1), "rows must be"),
        (in_grid(rows=2.0), "rows must be"),
        (in_grid(rows=1 << 30, columns=1 << 30), "a grid must have 1 to 16384 cells"),
        (in_grid(rows=0), "a grid must have 1 to 16384 cells"),
        (in_grid(names=["a", "b"]), "names are those of the 1 tokens"),
        (in_grid(names=["a" * 4097]), "texts of at most 4096 characters"),
        (in_grid(names="CLS"), "names must be a list"),
        (in_grid(grows=1), "grows must be true or false"),
        (in_grid(layers=["a"] * 1025), "layers must be a list of at most 1024"),
        (in_grid(layers=[1]), "layers must be texts"),
        (in_grid(windows=[2]), "windows must be two counts"),
        (in_grid(windows=[2, -1]), "windows must be"),
        (in_grid(windows=[0, 1]), "windows must be at least one"),
        (in_grid(windows=[1 << 12, 1 << 12]), "windows must be at least one, and have at most"),
        (in_grid(shift=[0.5, 1]), "shift must be"),
        (in_grid(style="x"), "must have the fields rows"),
        (
            lambda _, tensors: tensors.update({"picture.0": np.zeros((1, 321, 3), np.uint8)}),
            "at most 320 pixels a side",
        ),
        (
            lambda _, tensors: tensors.update({"picture.0": np.zeros((5, 7, 4), np.uint8)}),
            r"an image must be a uint8 array \(height, width, 3\)",
        ),
        (
            lambda _, tensors: tensors.update({"picture.0": np.zeros((5, 7, 3), np.float32)}),
            "an image must be a uint8 array",
        ),
    ],
)
def test_a_file_that_lies_about_its_picture_is_refused(tmp_path, change, rule):
    content = changed_file(tmp_path, change)
    with pytest.raises(TraceFileError, match=rule):
        Trace.from_bytes(content)


def test_bytes_are_no_attention(tmp_path):
    def as_query(_, tensors):
        tensors["0.query"] = tensors["0.query"].astype(np.uint8)

    with pytest.raises(TraceFileError, match="query must be a NumPy array of"):
        Trace.from_bytes(changed_file(tmp_path, as_query))
