"""A capture finds where on a picture a model's tokens lie, or says that it did not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

from attnpanel import capture  # noqa: E402
from attnpanel.trace.picture import Grid  # noqa: E402

SMALL = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = SMALL | {"intermediate_size": 24, "image_size": (16, 24), "patch_size": 8}
SQUARE = VISION | {"image_size": 16}
TEXT = SMALL | {"intermediate_size": 24, "vocab_size": 50}
DINO = {name: value for name, value in SQUARE.items() if name != "intermediate_size"}
REGISTERS = tuple(f"register {i + 1}" for i in range(3))
IMAGE_ID = 40


def made(kind, **options):
    return getattr(transformers, f"{kind}Model")(
        getattr(transformers, f"{kind}Config")(**options)
    ).eval()


@pytest.mark.parametrize(
    ("kind", "options", "names"),
    [
        ("ViT", VISION, ("CLS",)),
        ("DeiT", VISION, ("CLS", "distillation")),
        ("Dinov2", DINO, ("CLS",)),
        ("Dinov2WithRegisters", DINO | {"num_register_tokens": 3}, ("CLS", *REGISTERS)),
        (
            "DINOv3ViT",
            SQUARE | {"num_register_tokens": 3, "num_attention_heads": 3},
            ("CLS", *REGISTERS),
        ),
    ],
)
def test_patches_are_found_and_the_tokens_before_them_named(kind, options, names):
    model = made(kind, **options)
    with torch.inference_mode(), capture(model) as trace:
        model(torch.randn(2, 3, 16, 24))

    length = len(names) + 6
    assert trace.picture.grids == (Grid(2, 3, length, len(names), names),)
    assert trace.picture.images == ()
    patches = ("0·0", "0·1", "0·2", "1·0", "1·1", "1·2")
    assert trace.query_tokens == ((*names, *patches),) * 2


@pytest.mark.parametrize(("kind", "before"), [("CLIPVision", 1), ("SiglipVision", 0)])
def test_a_tower_of_vision_is_found(kind, before):
    model = made(kind, **SQUARE)
    with torch.inference_mode(), capture(model) as trace:
        model(torch.randn(1, 3, 16, 16))

    grid = trace.picture.grid_of(4 + before)
    assert (grid.rows, grid.columns, grid.start) == (2, 2, before)


def test_two_towers_have_one_picture():
    config = transformers.CLIPConfig(
        text_config=TEXT | {"max_position_embeddings": 11}, vision_config=SQUARE
    )
    model = transformers.CLIPModel(config).eval()
    with torch.inference_mode(), capture(model) as trace:
        model(pixel_values=torch.randn(1, 3, 16, 16), input_ids=torch.ones(1, 9, dtype=torch.long))

    assert [grid.length for grid in trace.picture.grids] == [5]


def test_the_image_tokens_of_a_language_model_are_found():
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**SQUARE),
        text_config=transformers.LlamaConfig(**TEXT, num_key_value_heads=2),
        image_token_index=IMAGE_ID,
        vision_feature_layer=-1,
    )
    model = transformers.LlavaForConditionalGeneration(config).eval()
    ids = torch.tensor([[1, 7, *[IMAGE_ID] * 4, 8, 9, 10]])
    image = np.full((16, 16, 3), 7, np.uint8)
    with torch.inference_mode(), capture(model, image=image) as trace:
        model(pixel_values=torch.randn(1, 3, 16, 16), input_ids=ids)

    assert set(trace.picture.grids) == {
        Grid(2, 2, 9, 2, grows=True),
        Grid(2, 2, 5, 1, ("CLS",)),
    }
    np.testing.assert_array_equal(trace.picture.images[0], image)


def test_image_tokens_of_patches_that_were_joined_are_found():
    text = TEXT | {"num_key_value_heads": 2, "hidden_size": 24}
    text["rope_parameters"] = {
        "rope_type": "default", "mrope_section": [2, 2, 2], "rope_theta": 1e4
    }  # fmt: skip
    vision = {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 24, "patch_size": 4}
    special = {"vision_start_token_id": 41, "vision_end_token_id": 42, "video_token_id": 43}
    config = transformers.Qwen2VLConfig(
        text_config=text, vision_config=vision, image_token_id=IMAGE_ID, **special
    )
    model = transformers.Qwen2VLForConditionalGeneration(config).eval()
    ids = torch.tensor([[1, 41, *[IMAGE_ID] * 6, 42, 2, 3]])
    with torch.inference_mode(), capture(model) as trace:
        model(
            input_ids=ids,
            mm_token_type_ids=(ids == IMAGE_ID).long(),
            pixel_values=torch.randn(24, 96),
            image_grid_thw=torch.tensor([[1, 4, 6]]),
        )

    # The tower's own patches come in blocks of 2 × 2: it has no grid.
    assert trace.picture.grids == (Grid(2, 3, 11, 2, grows=True),)


def test_the_windows_of_swin_are_found_in_every_stage_with_their_shift():
    model = made(
        "Swin",
        image_size=32,
        patch_size=2,
        embed_dim=4,
        depths=[2, 2],
        num_heads=[1, 2],
        window_size=4,
    )
    with torch.inference_mode(), capture(model) as trace:
        model(torch.randn(3, 3, 32, 32))

    found = [trace.picture.grid_of(16, layer) for layer in trace.layers]
    assert [(grid.windows, grid.shift) for grid in found] == [
        ((4, 4), (0, 0)),
        ((4, 4), (2, 2)),
        ((2, 2), (0, 0)),
        ((2, 2), (2, 2)),
    ]
    assert {(grid.rows, grid.columns, grid.start) for grid in found} == {(4, 4, 0)}


class Cells(nn.Module):
    """Attention over the cells of a board, after one token of whose turn it is."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


def test_the_grid_of_a_board_is_given():
    with capture(model := Cells(), grid=(3, 5)) as trace:
        model(torch.randn(2, 16, 8))

    assert trace.picture.grids == (Grid(3, 5, 16, 1),)


def test_a_grid_that_fits_no_call_is_an_error():
    with (
        pytest.raises(ValueError, match="grid must hold the tokens of a call, 3 × 6 = 18"),
        capture(model := Cells(), grid=(3, 6)),
    ):
        model(torch.randn(1, 16, 8))
    with pytest.raises(ValueError, match=r"grid must be \(rows, columns\)"), capture(model, grid=3):
        pass


def test_an_image_whose_place_is_not_found_is_a_warning():
    with (
        pytest.warns(UserWarning, match=r"the image is not in the trace.*pass grid=\(rows"),
        capture(model := Cells(), image=np.zeros((5, 7))) as trace,
    ):
        model(torch.randn(1, 16, 8))
    assert trace.picture is None


def test_the_pixels_that_a_model_is_given_are_stored_on_request():
    model, pixels = made("ViT", **VISION), torch.randn(2, 3, 16, 24)
    with torch.inference_mode(), capture(model, image=True, tokens=["a"] * 7) as trace:
        model(pixels)

    low, high = float(pixels[1].min()), float(pixels[1].max())
    expected = (pixels[1].permute(1, 2, 0).numpy() - low) / (high - low) * 255
    np.testing.assert_allclose(trace.picture.images[1], expected, atol=0.51)
    assert trace.query_tokens[0] == ("a",) * 7
