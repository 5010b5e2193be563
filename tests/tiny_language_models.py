"""Random decoders and encoders of a few thousand weights with byte-pair tokenizers, as folders.

Their tokenizers are trained on the README.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.tiny_encoders import save_encoder

TEXT = Path(__file__).parents[1] / "README.md"
END = "<|endoftext|>"
LIMIT = 53


@cache
def byte_level_tokenizer(**options: Any) -> Any:
    """Return a tokenizer as GPT-2's, of 400 tokens; `options` are those of ``ByteLevel``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(**{"add_prefix_space": False} | options)
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train([str(TEXT)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=END, eos_token=END)


# Tokenizers that JavaScript has to follow, by what is special about them.
TOKENIZERS = {
    "gpt2": byte_level_tokenizer,
    "prefix_space": lambda: byte_level_tokenizer(add_prefix_space=True),
}


def save_gpt2(folder: Path, *, seed: int = 7, rounded: bool = False, **options: Any) -> Path:
    """Save a GPT-2 of 2 layers, 3 heads of 5 and 19 inner units, and its tokenizer."""
    import transformers

    tokenizer = byte_level_tokenizer()
    config = transformers.GPT2Config(
        **{
            "vocab_size": len(tokenizer),
            "n_positions": LIMIT,
            "n_embd": 15,
            "n_layer": 2,
            "n_head": 3,
            "n_inner": 19,
            "bos_token_id": 0,
            "eos_token_id": 0,
        }
        | options
    )
    return save(transformers.GPT2LMHeadModel(config), tokenizer, folder, seed, rounded=rounded)


def save(model: Any, tokenizer: Any, folder: Path, seed: int, *, rounded: bool) -> Path:
    """Save a model with random weights, and its tokenizer.

    Its weights are wider than usual, so that attention is far from uniform; `rounded`, they are
    numbers of float16.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.5 if parameter.ndim > 1 else 1 + noise * 0.3)
            if rounded:
                parameter.copy_(parameter.half().float())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


# What saves a model of each family, by its type.
MODELS = {
    "bert": partial(save_encoder, kind="bert"),
    "distilbert": partial(save_encoder, kind="distilbert"),
    "gpt2": save_gpt2,
}
