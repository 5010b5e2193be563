"""Public models whose variants are priced, with their sizes and where these are published."""

from __future__ import annotations

from dataclasses import dataclass

from attnpanel.pages.variants.table import SIZES


@dataclass(frozen=True)
class Model:
    """A public model's sizes.

    Attributes
    ----------
    name, title : str
    layout, visibility : str
        As it is built: names of a :class:`Layout` and a :class:`Visibility`.
    own : dict of str to int
        Sizes from its configuration.
    assumed : dict of str to int
        Sizes that it does not have, for variants that it is not built as.
    source : str
        Where its sizes are published.
    """

    name: str
    title: str
    layout: str
    visibility: str
    own: dict[str, int]
    assumed: dict[str, int]
    source: str

    @property
    def sizes(self) -> dict[str, int]:
        """Every size by name, in the order of :data:`SIZES`."""
        given = {**USUAL, **self.assumed, **self.own}
        return {size.name: given[size.name] for size in SIZES}


# What a model without a size of its own is priced with. A latent vector of 4 heads and a positional
# key of half a head are DeepSeek-V2's own proportions (arXiv 2405.04434, section 2.1.4), 4 first
# tokens StreamingLLM's.
USUAL = {
    "batch": 1, "bytes": 2, "q_latent": 0,
    "window": 1024, "kept": 4, "prefix": 1024, "document": 2048,
}  # fmt: skip

MODELS: tuple[Model, ...] = (
    Model(
        "llama-3-8b",
        "Llama 3 8B",
        "grouped",
        "causal",
        {
            "length": 8192, "layers": 32, "d_model": 4096,
            "heads": 32, "kv_heads": 8, "head_dim": 128,
        },
        {"latent": 512, "rope": 64},
        "config.json of meta-llama/Meta-Llama-3-8B",
    ),
    Model(
        "llama-3.1-405b",
        "Llama 3.1 405B",
        "grouped",
        "causal",
        {
            "length": 131072, "layers": 126, "d_model": 16384,
            "heads": 128, "kv_heads": 8, "head_dim": 128,
        },
        {"latent": 512, "rope": 64},
        "config.json of meta-llama/Llama-3.1-405B",
    ),
    Model(
        "mistral-7b",
        "Mistral 7B v0.1",
        "grouped",
        "window",
        {
            "length": 32768, "layers": 32, "d_model": 4096,
            "heads": 32, "kv_heads": 8, "head_dim": 128, "window": 4096,
        },
        {"latent": 512, "rope": 64},
        "config.json of mistralai/Mistral-7B-v0.1",
    ),
    Model(
        "gemma-2b",
        "Gemma 2B",
        "single",
        "causal",
        {"length": 8192, "layers": 18, "d_model": 2048, "heads": 8, "head_dim": 256},
        {"kv_heads": 4, "latent": 1024, "rope": 128},
        "config.json of google/gemma-2b",
    ),
    Model(
        "deepseek-v2",
        "DeepSeek-V2",
        "latent",
        "causal",
        {
            "length": 32768, "layers": 60, "d_model": 5120, "heads": 128, "head_dim": 128,
            "latent": 512, "rope": 64, "q_latent": 1536,
        },
        {"kv_heads": 8},
        "config.json of deepseek-ai/DeepSeek-V2",
    ),
    Model(
        "deepseek-v3",
        "DeepSeek-V3",
        "latent",
        "causal",
        {
            "length": 32768, "layers": 61, "d_model": 7168, "heads": 128, "head_dim": 128,
            "latent": 512, "rope": 64, "q_latent": 1536,
        },
        {"kv_heads": 8},
        "config.json of deepseek-ai/DeepSeek-V3",
    ),
    Model(
        "gpt-2",
        "GPT-2 124M",
        "multi",
        "causal",
        {"length": 1024, "layers": 12, "d_model": 768, "heads": 12, "head_dim": 64},
        {"kv_heads": 4, "latent": 256, "rope": 32, "window": 256, "prefix": 256, "document": 300},
        "config.json of openai-community/gpt2",
    ),
    Model(
        "toy",
        "The toy of the cards",
        "multi",
        "causal",
        {"length": 8, "bytes": 4, "layers": 1, "d_model": 8, "heads": 4, "head_dim": 2},
        {"kv_heads": 2, "latent": 4, "rope": 0, "window": 3, "kept": 1, "prefix": 3, "document": 4},
        "attnpanel.models.toy",
    ),
)  # fmt: skip
