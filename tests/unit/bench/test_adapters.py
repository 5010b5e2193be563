"""Adapters of libraries that are not installed here, against functions of their signatures.

The signatures are those of the libraries' documentation; what answers
is PyTorch, in the layout that the library documents. That the libraries are right this cannot tell.
"""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from attnpanel.bench import certify
from attnpanel.bench.adapters import (
    flash_attn2,
    flashinfer_prefill,
    hub_flash_attn2,
    xformers_attention,
)
from attnpanel.bench.certify.cases import GROUPED, SAME_DIMS, SQUARE, Case
from attnpanel.bench.certify.plain_function import implementation_of

ADAPTERS = [flash_attn2, xformers_attention, flashinfer_prefill, hub_flash_attn2]
CASES = (
    SQUARE,
    replace(SQUARE, mask="causal"),
    replace(SAME_DIMS, scale=0.5),
    replace(GROUPED, query_len=7, mask="causal"),
    replace(GROUPED, dtype="bfloat16"),
)


def flash_attn_func(
    q,
    k,
    v,
    dropout_p=0.0,
    softmax_scale=None,
    causal=False,  # noqa: FBT002 - the library's
    window_size=(-1, -1),
    softcap=0.0,
    alibi_slopes=None,
    deterministic=False,  # noqa: FBT002 - the library's
    return_attn_probs=False,  # noqa: FBT002 - the library's
):
    """(B, T, H, D); the diagonal ends at the bottom right."""
    assert q.shape[1] == k.shape[1] or not causal
    heads_first = (x.transpose(1, 2) for x in (q, k, v))
    output = scaled_dot_product_attention(
        *heads_first, scale=softmax_scale, is_causal=causal, enable_gqa=True
    )
    return output.transpose(1, 2)


class LowerTriangularMask:
    pass


def memory_efficient_attention(
    query, key, value, attn_bias=None, p=0.0, scale=None, *, op=None, output_dtype=None
):
    """(B, T, H, D), or (B, T, G, H, D) of all three."""
    assert query.shape[:1] + query.shape[2:-1] == key.shape[:1] + key.shape[2:-1]
    causal = isinstance(attn_bias, LowerTriangularMask)
    tokens_last = (x.movedim(1, -2) for x in (query, key, value))
    return scaled_dot_product_attention(*tokens_last, scale=scale, is_causal=causal).movedim(-2, 1)


def single_prefill_with_kv_cache(
    q,
    k,
    v,
    scale_q=None,
    scale_k=None,
    scale_v=None,
    o_dtype=None,
    custom_mask=None,
    packed_custom_mask=None,
    causal=False,  # noqa: FBT002 - the library's
    kv_layout="NHD",
    pos_encoding_mode="NONE",
    use_fp16_qk_reduction=False,  # noqa: FBT002 - the library's
    sm_scale=None,
    window_left=-1,
    logits_soft_cap=None,
    rope_scale=None,
    rope_theta=None,
    backend="auto",
    return_lse=False,  # noqa: FBT002 - the library's
):
    """q (T, H, D); k and v (Hkv, S, D) in the layout HND."""
    assert kv_layout == "HND"
    assert all(x.is_contiguous() for x in (q, k, v))
    output = scaled_dot_product_attention(
        q.transpose(0, 1),
        k,
        v,
        attn_mask=custom_mask,
        scale=sm_scale,
        is_causal=causal,
        enable_gqa=True,
    )
    return output.transpose(0, 1)


def get_kernel(
    repo_id,
    *,
    revision=None,
    version=None,
    backend=None,
    user_agent=None,
    trust_remote_code=False,
    check_arch=True,
):
    """The functions of flash-attn, as the hub has them."""
    assert (repo_id, version) == ("kernels-community/flash-attn2", 2)
    return SimpleNamespace(flash_attn_func=flash_attn_func)


@pytest.fixture
def libraries(monkeypatch):
    for name, members in {
        "flash_attn": (flash_attn_func,),
        "xformers": (),
        "xformers.ops": (LowerTriangularMask, memory_efficient_attention),
        "flashinfer": (single_prefill_with_kv_cache,),
        "kernels": (get_kernel,),
    }.items():
        module = ModuleType(name)
        vars(module).update({member.__name__: member for member in members})
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_call_is_that_of_the_librarys_signature(adapter, libraries):
    implementation = implementation_of(adapter.attention, "adapter")

    for request in CASES:
        assert certify(implementation, Case(request)).reasons == ()


def test_masks_are_given_to_the_library_that_takes_them(libraries):
    masked = replace(SAME_DIMS, mask="key_padding", pad_lens=(3, 7))

    taken = implementation_of(flashinfer_prefill.attention, "adapter")
    assert certify(taken, Case(masked)).verdict == "pass"
    for adapter in (flash_attn2, xformers_attention, hub_flash_attn2):
        reasons = implementation_of(adapter.attention, "adapter").unsupported(masked)
        assert reasons == ["a mask is declined: it takes no keyword mask"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_library_that_is_not_installed_is_named(adapter):
    query = torch.zeros(1, 1, 2, 2)

    with pytest.raises(
        ImportError, match=r"No module named '(flash_attn|xformers|flashinfer|kernels)'"
    ):
        adapter.attention(query, query, query, scale=1.0)
    assert "Never run by us" in adapter.__doc__
