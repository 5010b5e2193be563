"""Figures as matplotlib draws them; skipped without the extra `figures`."""

import io
import re
import zlib
from itertools import combinations
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

import attnpanel as ap
from attnpanel.explorer.paper_figure.fonts import settings
from attnpanel.explorer.paper_figure.head_figure import HeadFigure
from attnpanel.ui.theme import LIGHT
from tests.hand_made import call, from_scores

pytest.importorskip("matplotlib")

HOSTILE = ["$x^2$", "</text><script>alert(1)</script>", r"\frac{1}{2}$$", "a\nb", "&amp; <b>"]


def named(length, **rest):
    return ap.Trace(
        [call(query_len=length, **rest)], query_tokens=[[f"tok{i}" for i in range(length)]]
    )


def flat():
    """A map that is soon drawn and compressed."""
    return ap.Trace([call(query_len=2, key_len=31)])


def texts_of(figure):
    return [text.get_text() for text in figure.figure.texts]


def boxes_of(figure, dpi):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.figure.set_dpi(dpi)
    with settings():
        renderer = FigureCanvasAgg(figure.figure).get_renderer()
        return {text: text.get_window_extent(renderer) for text in figure.figure.texts}


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("kind", ["weights", "steps"])
@pytest.mark.parametrize(
    ("length", "width", "query"),
    [(1, "column", None), (5, 75, 3), (31, "column", 29), (31, "page", 7), (211, "column", 199)],
)
def test_no_text_covers_another_or_leaves_the_figure(kind, length, width, query):
    trace = named(length)
    trace.model = "a-name/of-a-model-that-no-line-of-a-column-has-room-for-but-a-page-may-well"
    figure = trace.figure(kind=kind, width=width, query=query, mask="causal")
    dpi = 150  # the fewer pixels, the more a letter that is moved to one would be wider
    boxes = boxes_of(figure, dpi)

    page = figure.figure.bbox
    for text, box in boxes.items():
        inside = box.x0 >= 0 and box.x1 <= page.x1 and box.y0 >= 0 and box.y1 <= page.y1
        assert inside, text.get_text()
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        # A line of text has some room above and below its letters: a point of it may be shared.
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(wide, high) < dpi / 72, (one.get_text(), other.get_text(), wide, high)


def test_the_same_positions_have_the_same_names_on_both_sides():
    texts = texts_of(
        named(60).figure(caption="")
    )  # tokens would have room below the map, but not beside it

    assert {"query position", "key position"} <= set(texts)
    assert not [text for text in texts if text.startswith("tok")]


@pytest.mark.parametrize(("width", "mm"), [("column", 88), ("page", 180), (120, 120)])
def test_a_figure_is_as_wide_as_asked_and_a_png_has_300_dpi(width, mm):
    figure = flat().figure(width=width)

    with Image.open(io.BytesIO(figure.to_bytes("png"))) as image:
        assert abs(image.width - mm / 25.4 * 300) <= 1
        np.testing.assert_allclose(image.info["dpi"], 300, atol=0.1)
    width_pt = ET.fromstring(figure.to_bytes("svg")).get("width")
    np.testing.assert_allclose(float(width_pt.removesuffix("pt")), mm / 25.4 * 72, atol=0.2)


def test_texts_of_an_svg_are_text_whatever_signs_they_have():
    made = ap.Trace([call()], query_tokens=[HOSTILE], model="$m$ <i>")
    figure = made.figure(width=100)

    root = ET.fromstring(figure.to_bytes("svg"))

    words = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    labels = ["$x^2$", "</text><scrip…", r"\frac{1}{2}$$", "a·b", "&amp; <b>"]
    assert [words.count(label) for label in labels] == [2] * 5
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert any("$m$ <i>" in text for text in words)
    fonts = re.findall("font-family: ([^;]*);", figure.to_bytes("svg").decode())
    # A token's letters that the first font lacks are of the second; a viewer may have neither.
    assert {re.sub("'DejaVu Sans',.* ", "… ", font) for font in fonts} == {
        "… sans-serif",
        "'DejaVu Sans Mono', … monospace",
    }


def test_texts_of_a_pdf_are_text_with_the_letters_they_stand_for():
    data = ap.Trace([call()], query_tokens=[HOSTILE]).figure().to_bytes("pdf")

    assert b"/ToUnicode" in data
    assert b"/FontFile2" in data
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL)
    page = max(
        (zlib.decompress(part) for part in streams if part[:1] == b"x"),
        key=lambda s: s.count(b"BT"),
    )
    assert page.count(b"BT") > 20


def test_cells_have_the_colours_of_their_weights_and_masked_ones_are_hatched():
    # One head, whose first row gives all to its own key.
    figure = ap.Trace([from_scores(np.zeros((2, 2)))]).figure(mask="causal", width=60)
    axes = figure.figure.axes[0]

    with Image.open(io.BytesIO(figure.to_bytes("png"))) as image:
        pixels = np.asarray(image.convert("RGB"))
    left, bottom, wide, high = axes.get_position().bounds
    rows, columns = pixels.shape[:2]

    def cell(row, column):
        top, side = (1 - bottom - high) * rows, left * columns
        y, x = (
            top + (row + np.array([0.1, 0.9]) / 1) * high * rows / 2,
            side + (column + np.array([0.1, 0.9])) * wide * columns / 2,
        )
        return pixels[int(y[0]) : int(y[1]), int(x[0]) : int(x[1])].reshape(-1, 3)

    np.testing.assert_array_equal(np.unique(cell(0, 0), axis=0), [[0x0B, 0x1F, 0x4F]])  # weight 1
    hatched = cell(0, 1)
    grey = np.array([int(LIGHT.masked[i : i + 2], 16) for i in (1, 3, 5)])
    share = (hatched == grey).all(axis=1).mean()
    assert 0.4 < share < 0.98  # the ground and lines upon it
    np.testing.assert_array_equal(len(np.unique(cell(1, 0), axis=0)), 1)  # one flat colour
    np.testing.assert_array_equal(cell(1, 0)[0], cell(1, 1)[0])  # both a half


def test_a_long_sequence_is_an_image_in_the_file():
    figure = ap.Trace([call(query_len=1031, causal="top_left")]).figure(kind="steps", query=1030)

    assert len(figure.to_bytes("svg")) < 3e6
    assert "each cell the largest of 3 × 3" in figure.caption
    assert "1030" in texts_of(figure)


def test_a_weight_smaller_than_a_pixel_is_drawn():
    scores = np.zeros((401, 401))
    scores[200, 100] = 20
    figure = ap.Trace([from_scores(scores)]).figure(kind="steps")
    softmax = figure.figure.axes[2]  # each map is followed by its bar

    with Image.open(io.BytesIO(figure.to_bytes("png"))) as image:
        pixels = np.asarray(image.convert("RGB"))
    left, bottom, wide, high = softmax.get_position().bounds
    rows, columns = pixels.shape[:2]
    top = 1 - bottom - high
    shown = pixels[
        int(top * rows) : int((top + high) * rows),
        int(left * columns) : int((left + wide) * columns),
    ]

    assert wide * columns < 401
    assert (shown == [0x0B, 0x1F, 0x4F]).all(axis=-1).any()


def test_the_ending_chooses_the_format_and_the_same_figure_is_the_same_file(tmp_path):
    figure = flat().figure()

    starts = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for ending, start in starts.items():
        path = figure.save(tmp_path / f"head.{ending}")
        assert path.read_bytes().startswith(start)
        assert path.read_bytes() == flat().figure().to_bytes(ending)


def test_what_cannot_be_saved_is_refused_and_nothing_is_written(tmp_path):
    figure = named(5).figure()

    with pytest.raises(ValueError, match="a figure is saved as svg, pdf, png; got 'jpg'"):
        figure.save(tmp_path / "head.jpg")
    with pytest.raises(ValueError, match="dpi must be from 50 to 2400; got 0"):
        figure.save(tmp_path / "head.png", dpi=0)
    assert not list(tmp_path.iterdir())


def test_letters_without_a_font_are_named_once(monkeypatch):
    monkeypatch.setattr(
        "attnpanel.explorer.paper_figure.fonts.font_families",
        lambda: {"mono": ["DejaVu Sans Mono"], "sans": ["DejaVu Sans"]},
    )
    made = ap.Trace([call(query_len=2)], query_tokens=[["\u6d4b", "\u6d4b\u8bd5"]]).figure()

    with pytest.warns(UserWarning, match="no installed font has \u6d4b \u8bd5: ") as warned:
        made.to_bytes("png")

    assert len(warned) == 1
    assert "\u8bd5" in made.to_bytes("svg").decode()  # and no warning: a viewer has fonts


def test_too_narrow_a_width_says_how_wide_it_must_be():
    with pytest.raises(ValueError, match=r"width must be at least (\d+) mm") as raised:
        named(5).figure(kind="steps", width=40)

    least = int(re.search(r"least (\d+)", str(raised.value))[1])
    assert isinstance(named(5).figure(kind="steps", width=least + 1), HeadFigure)


def test_nothing_of_the_users_matplotlib_is_changed():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    named(5).figure().to_bytes("svg")

    assert dict(mpl.rcParams) == before


def test_a_notebook_cell_shows_the_figure():
    assert named(5).figure()._repr_png_().startswith(b"\x89PNG")
