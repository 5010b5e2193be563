"""Random decoders and encoders of a few thousand weights with byte-pair tokenizers, as folders.

Their tokenizers are trained on the README.
"""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

from attnpanel.models.live_model.byte_pair_settings import PATTERNS
from tests.tiny_encoders import save, save_encoder

TEXT = Path(__file__).parents[1] / "README.md"
END = "<|endoftext|>"
LIMIT = 53


def byte_level_tokenizer(**options: Any) -> Any:
    """Return a tokenizer as GPT-2's, of 400 tokens; `options` are those of ``ByteLevel``."""
    from tokenizers import pre_tokenizers

    return trained(pre_tokenizers.ByteLevel(**{"add_prefix_space": False} | options))


def trained(splitter: Any, **options: Any) -> Any:
    """Return a byte-level tokenizer of 400 tokens with a pre-tokenizer; `options` as for `BPE`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(**options))
    backend.pre_tokenizer = splitter
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


def split_tokenizer(pattern: str) -> Any:
    """Return a tokenizer as Llama 3's, which splits by an expression and takes whole words."""
    from tokenizers import Regex, pre_tokenizers

    parts = [
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    return trained(pre_tokenizers.Sequence(parts), ignore_merges=True)


def digits_tokenizer() -> Any:
    """Return a tokenizer as SmolLM's, in which each digit is a token."""
    from tokenizers import pre_tokenizers

    digits = pre_tokenizers.Digits(individual_digits=True)
    last = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return trained(pre_tokenizers.Sequence([digits, last]))


@cache
def roberta_tokenizer() -> Any:
    """Return a tokenizer as RoBERTa's, whose mask takes the space before it."""
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    mask = AddedToken("<mask>", lstrip=True, normalized=False, special=True)
    trainer = trainers.BpeTrainer(
        vocab_size=410,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", mask],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train([str(TEXT)], trainer)
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    roles = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": mask}
    roles |= {"cls": "<s>", "sep": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named(roles))


@cache
def sentencepiece_tokenizer(scheme: str | None = None) -> Any:
    """Return a tokenizer as Llama 2's: characters, and bytes for those without a token.

    A space is put before a text by its normalizer, or, with a scheme, by its pre-tokenizer.
    """
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    options: dict[str, Any] = {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    first = Tokenizer(models.BPE(**options))
    first.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    first.train([str(TEXT)], trainer)
    # The bytes are tokens of the model, not such as are taken from a text as they stand.
    model = json.loads(first.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    backend = Tokenizer(models.BPE(model["vocab"], merges, **options))
    if scheme is None:
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        )
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    roles = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named(roles))


def named(roles: dict[str, Any]) -> dict[str, Any]:
    """Return the tokens of some roles as keyword arguments of a tokenizer."""
    return {f"{role}_token": token for role, token in roles.items()}


# Tokenizers that JavaScript has to follow, by what is special about them.
TOKENIZERS = {
    "gpt2": byte_level_tokenizer,
    "prefix_space": lambda: byte_level_tokenizer(add_prefix_space=True),
    "roberta": roberta_tokenizer,
    "digits": digits_tokenizer,
    "llama2": sentencepiece_tokenizer,
    "always": lambda: sentencepiece_tokenizer("always"),
    "first": lambda: sentencepiece_tokenizer("first"),
    "never": lambda: sentencepiece_tokenizer("never"),
} | {name: partial(split_tokenizer, pattern) for pattern, name in PATTERNS.items()}


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


def save_roberta(folder: Path, *, seed: int = 7, rounded: bool = False, **options: Any) -> Path:
    """Save a RoBERTa of 2 layers, 3 heads of 5 and 19 inner units, and its tokenizer."""
    import transformers

    tokenizer = roberta_tokenizer()
    config = transformers.RobertaConfig(
        **{
            "vocab_size": len(tokenizer),
            "max_position_embeddings": LIMIT + 2,
            "type_vocab_size": 1,
            "hidden_size": 15,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "intermediate_size": 19,
        }
        | options
    )
    model = transformers.RobertaModel(config, add_pooling_layer=False)
    return save(model, tokenizer, folder, seed, rounded=rounded)


def save_llama(folder: Path, *, seed: int = 7, rounded: bool = False, **options: Any) -> Path:
    """Save a Llama of 2 layers, 6 heads of 4, two to a key head, and 19 inner units."""
    import transformers

    tokenizer = sentencepiece_tokenizer()
    config = transformers.LlamaConfig(
        **{
            "vocab_size": len(tokenizer),
            "max_position_embeddings": LIMIT,
            "hidden_size": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 6,
            "num_key_value_heads": 3,
            "head_dim": 4,
            "intermediate_size": 19,
            "tie_word_embeddings": False,
        }
        | options
    )
    return save(transformers.LlamaForCausalLM(config), tokenizer, folder, seed, rounded=rounded)


# What saves a model of each family, by its type.
MODELS = {
    "bert": partial(save_encoder, kind="bert"),
    "distilbert": partial(save_encoder, kind="distilbert"),
    "roberta": save_roberta,
    "gpt2": save_gpt2,
    "llama": save_llama,
}
