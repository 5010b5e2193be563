"""Patches of vision transformers as timm writes them are found, fused attention or not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from attnpanel import capture  # noqa: E402
from attnpanel.trace.picture import Grid  # noqa: E402

SIZE, HEADS, PATCH = 12, 2, 8


class Attention(nn.Module):
    """As timm's ``layers.Attention``: `fused_attn` chooses torch's function or the steps of it."""

    def __init__(self, *, fused):
        super().__init__()
        self.num_heads, self.fused_attn = HEADS, fused
        self.head_dim = SIZE // HEADS
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(SIZE, 3 * SIZE)
        self.q_norm, self.k_norm = nn.LayerNorm(self.head_dim), nn.Identity()
        self.attn_drop, self.proj_drop = nn.Dropout(0.1), nn.Dropout(0.1)
        self.proj = nn.Linear(SIZE, SIZE)

    def forward(self, x):
        batch, length, size = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        query, key = self.q_norm(query), self.k_norm(key)
        if self.fused_attn:
            dropout = self.attn_drop.p if self.training else 0.0
            x = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        else:
            weights = (query * self.scale) @ key.transpose(-2, -1)
            x = self.attn_drop(weights.softmax(dim=-1)) @ value
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(batch, length, size)))


class PatchEmbed(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, SIZE, PATCH, PATCH)
        self.norm = nn.Identity()

    def forward(self, x):
        return self.norm(self.proj(x).flatten(2).transpose(1, 2))


class Block(nn.Module):
    def __init__(self, *, fused):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.attn, self.mlp = Attention(fused=fused), nn.Linear(SIZE, SIZE)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """As timm's: a class token and `reg_tokens` before the patches of 2 × 3."""

    def __init__(self, *, fused, class_token=True, reg_tokens=0, pool=False):
        super().__init__()
        self.num_prefix_tokens = int(class_token) + reg_tokens
        self.patch_embed = PatchEmbed()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, SIZE)) if class_token else None
        self.reg_token = nn.Parameter(torch.zeros(1, reg_tokens, SIZE)) if reg_tokens else None
        self.pos_embed = nn.Parameter(torch.randn(1, 6, SIZE))
        self.blocks = nn.Sequential(Block(fused=fused), Block(fused=fused))
        self.norm, self.head = nn.LayerNorm(SIZE), nn.Linear(SIZE, 5)
        self.latent = nn.Parameter(torch.randn(1, 1, SIZE)) if pool else None
        self.kv = nn.Linear(SIZE, 2 * SIZE)

    def forward(self, x):
        x = self.patch_embed(x) + self.pos_embed
        before = [token for token in (self.cls_token, self.reg_token) if token is not None]
        x = torch.cat([token.expand(len(x), -1, -1) for token in before] + [x], dim=1)
        x = self.norm(self.blocks(x))
        if self.latent is None:
            return self.head(x[:, 0] if self.cls_token is not None else x.mean(1))
        key, value = self.kv(x).reshape(len(x), -1, 2, HEADS, SIZE // HEADS).permute(2, 0, 3, 1, 4)
        query = self.latent.expand(len(x), -1, -1).reshape(len(x), 1, HEADS, -1).transpose(1, 2)
        pooled = functional.scaled_dot_product_attention(query, key, value)
        return self.head(pooled.transpose(1, 2).flatten(1))


REGISTERS = tuple(f"register {i + 1}" for i in range(4))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("CLS",)),
        ({"reg_tokens": 4}, ("CLS", *REGISTERS)),
        ({"reg_tokens": 4, "class_token": False}, REGISTERS),
        ({"class_token": False, "pool": True}, ()),
    ],
    ids=["class token", "registers too", "registers alone", "patches alone, pooled"],
)
def test_patches_and_the_tokens_before_them(fused, options, names):
    torch.manual_seed(0)
    model, pixels = VisionTransformer(fused=fused, **options).eval(), torch.randn(2, 3, 16, 24)
    image = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
    with torch.no_grad():
        expected = model(pixels)
        with capture(model, image=[image, image]) as trace:
            made = model(pixels)

    assert torch.equal(made, expected)
    length = len(names) + 6
    assert len(names) == model.num_prefix_tokens
    assert trace.picture.grids == (Grid(2, 3, length, len(names), names),)
    assert len(trace.picture.images) == 2
    assert trace.layers[:2] == ("blocks.0.attn", "blocks.1.attn")
    assert all(call.live for call in trace)
    assert trace.query_tokens[0][: len(names)] == names
    if "pool" in options:
        assert (trace[2].query_len, trace[2].key_len) == (1, length)
