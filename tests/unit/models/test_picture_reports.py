"""What users of models of vision have asked for: attention on the picture.

Each test rebuilds one public thread; the link is in its docstring.
"""

from __future__ import annotations

import numpy as np
import pytest

import attnpanel as ap
from attnpanel.analysis import rollout

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

IMAGE_ID = 40
SMALL = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = SMALL | {"intermediate_size": 24, "image_size": 16, "patch_size": 8}
TEXT = SMALL | {"intermediate_size": 24, "vocab_size": 50, "num_key_value_heads": 2}
PICTURE = np.full((16, 16, 3), 7, np.uint8)


def made(kind, config):
    """Return a model of random weights that can hand out its own attention weights."""
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config).eval()
    model.set_attn_implementation("eager")
    return model


def on_picture(trace, weights):
    """Lay a row (…, S) of the trace's last call as its grid lies on the picture."""
    grid = trace.picture.grid_of(weights.shape[-1], trace[-1].layer)
    patches = weights[..., grid.start : grid.start + grid.rows * grid.columns]
    return patches.reshape(*weights.shape[:-1], grid.rows, grid.columns)


def assert_last_token_looks(trace, output, start, rows, columns):
    """The last token's heat in each head is what the model itself says of its image tokens."""
    wanted = output.attentions[-1][0, :, -1, start : start + rows * columns].numpy()
    heat = on_picture(trace, trace[-1].weights()[0, :, -1])
    # float32, summed in another order.
    np.testing.assert_allclose(heat, wanted.reshape(-1, rows, columns), atol=1e-6)


def test_where_llava_looks_based_on_the_prompt():
    """https://github.com/haotian-liu/LLaVA/issues/1080"""
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE_ID,
        vision_feature_layer=-1,
    )
    model = made("LlavaForConditionalGeneration", config)
    ids = torch.tensor([[1, 7, *[IMAGE_ID] * 4, 8, 9, 10]])
    pixels = torch.randn(1, 3, 16, 16)
    with torch.inference_mode(), ap.capture(model, image=PICTURE) as trace:
        output = model(input_ids=ids, pixel_values=pixels, output_attentions=True)

    assert_last_token_looks(trace, output, 2, 2, 2)
    np.testing.assert_array_equal(trace.picture.images[0], PICTURE)


def test_the_image_in_qwen_vls_attention():
    """https://github.com/QwenLM/Qwen-VL/issues/511"""
    rope = {"rope_type": "default", "mrope_section": [2, 2, 2], "rope_theta": 1e4}
    config = transformers.Qwen2VLConfig(
        text_config=TEXT | {"hidden_size": 24, "rope_parameters": rope},
        vision_config={
            "depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 24, "patch_size": 4
        },
        image_token_id=IMAGE_ID, vision_start_token_id=41, vision_end_token_id=42,
        video_token_id=43,
    )  # fmt: skip
    model = made("Qwen2VLForConditionalGeneration", config)
    ids = torch.tensor([[1, 41, *[IMAGE_ID] * 6, 42, 2, 3]])
    with torch.inference_mode(), ap.capture(model, image=PICTURE) as trace:
        output = model(
            input_ids=ids,
            mm_token_type_ids=(ids == IMAGE_ID).long(),
            pixel_values=torch.randn(24, 96),
            image_grid_thw=torch.tensor([[1, 4, 6]]),
            output_attentions=True,
        )

    assert_last_token_looks(trace, output, 2, 2, 3)


def test_internvls_attention_to_the_prompt_and_to_the_image():
    """https://github.com/OpenGVLab/InternVL/issues/700 and …/issues/1101"""
    config = transformers.InternVLConfig(
        vision_config=transformers.InternVLVisionConfig(
            **VISION | {"image_size": [16, 16], "patch_size": [4, 4]}
        ),
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_id=IMAGE_ID,
    )
    model = made("InternVLForConditionalGeneration", config)
    words = ["<s>", "<img>", *["<IMG_CONTEXT>"] * 4, "</img>", "how", "many"]
    ids = torch.tensor([[1, 41, *[IMAGE_ID] * 4, 42, 5, 6]])
    with torch.inference_mode(), ap.capture(model, image=PICTURE, tokens=words) as trace:
        output = model(
            input_ids=ids, pixel_values=torch.randn(1, 3, 16, 16), output_attentions=True
        )

    # 4 × 4 patches are joined 2 × 2.
    assert_last_token_looks(trace, output, 2, 2, 2)
    call = trace[-1]
    assert trace.tokens_of(call)[1] == tuple(words)
    np.testing.assert_allclose(call.weights(), output.attentions[-1].numpy(), atol=1e-6)


def test_a_vision_transformers_attention_needs_no_tokens():
    """https://github.com/jessevig/bertviz/issues/118"""
    model = made("ViTModel", transformers.ViTConfig(**VISION))
    with torch.inference_mode():
        output = model(torch.randn(1, 3, 16, 16), output_attentions=True)

    trace = ap.Trace.from_weights(output.attentions)
    trace.set_picture(PICTURE, grid=(2, 2), names=["CLS"])

    heat = on_picture(trace, trace[-1].weights()[0, :, 0])
    wanted = output.attentions[-1][0, :, 0, 1:].reshape(2, 2, 2)
    np.testing.assert_allclose(heat, wanted, atol=1e-6)


def test_mobilevits_interleaved_tokens_are_no_windows():
    """https://github.com/jessevig/bertviz/issues/118"""
    config = transformers.MobileViTConfig(
        image_size=64, hidden_sizes=[12, 16, 20], neck_hidden_sizes=[8] * 7,
        num_attention_heads=2, mlp_ratio=1.0,
    )  # fmt: skip
    model = transformers.MobileViTModel(config).eval()
    with torch.inference_mode(), ap.capture(model, image=PICTURE) as trace:
        model(torch.randn(1, 3, 64, 64))

    # A sequence holds one of each 2 × 2 positions of the 8 × 8, all over the picture.
    first = trace[0]
    assert (first.batch, first.query_len) == (4, 16)
    grid = trace.picture.grid_of(16, first.layer)
    assert (grid.rows, grid.columns, grid.start, grid.windows) == (4, 4, 0, (1, 1))


def test_the_heads_of_dinov2s_last_block():
    """https://github.com/facebookresearch/dinov2/issues/177"""
    options = {name: value for name, value in VISION.items() if name != "intermediate_size"}
    config = transformers.Dinov2WithRegistersConfig(**options, num_register_tokens=3)
    model, pixels = made("Dinov2WithRegistersModel", config), torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        wanted = model(pixels, output_attentions=True).attentions[-1]
    model.set_attn_implementation("sdpa")  # which, as xFormers, keeps no weights
    with torch.inference_mode(), ap.capture(model, image=True) as trace:
        model(pixels)

    heat = on_picture(trace, trace[-1].weights()[0, :, 0])
    np.testing.assert_allclose(heat, wanted[0, :, 0, 4:].reshape(2, 2, 2), atol=1e-6)
    assert trace.query_tokens[0][:2] == ("CLS", "register 1")


class LinearPatchViT(nn.Module):
    """A vision transformer as vit-pytorch writes it: cut patches, a linear layer, plain softmax."""

    def __init__(self):
        super().__init__()
        self.embed, self.cls_token = nn.Linear(48, 12), nn.Parameter(torch.randn(1, 1, 12))
        self.layers = nn.ModuleList(nn.Linear(12, 36, bias=False) for _ in range(2))

    def forward(self, image):
        patches = image.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1).reshape(1, 16, 48)
        x = torch.cat([self.cls_token, self.embed(patches)], dim=1)
        self.weights = []
        for layer in self.layers:
            query, key, value = (
                part.view(1, 17, 2, 6).transpose(1, 2) for part in layer(x).chunk(3, dim=-1)
            )
            self.weights.append((query @ key.transpose(-1, -2) * 6**-0.5).softmax(dim=-1))
            x = x + (self.weights[-1] @ value).transpose(1, 2).reshape(1, 17, 12)
        return x[:, 0]


def test_attention_maps_as_in_the_paper_of_vit():
    """https://github.com/lucidrains/vit-pytorch/issues/233"""
    torch.manual_seed(0)
    model = LinearPatchViT().eval()
    with torch.inference_mode(), ap.capture(model, image=PICTURE, grid=(4, 4)) as trace:
        model(torch.randn(1, 3, 16, 16))

    # The paper's maps are rollouts of the mean of heads, the residual as half (its appendix D.8).
    wanted = np.eye(17)
    for weights in model.weights:
        wanted = (weights[0].mean(0).numpy() + np.eye(17)) / 2 @ wanted
    np.testing.assert_allclose(
        on_picture(trace, rollout(trace)[0]), wanted[0, 1:].reshape(4, 4), atol=1e-6
    )
