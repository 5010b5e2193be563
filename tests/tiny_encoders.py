"""Random encoders of a few thousand weights with tokenizers of a few words, as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "does", "not", "fit", "it", "is", "un"]
# Pieces of words, signs, an ideograph, and pieces that no text gives.
PIECES = ["##able", "##é", ".", ",", "!", "'", "é", "東", "##東", "...", "[unused1]"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(code) for code in range(ord("b"), ord("z") + 1)]


def vocabulary() -> list[str]:
    """Return all pieces by id."""
    return [
        *SPECIAL,
        *WORDS,
        *PIECES,
        *LETTERS,
        *(f"##{letter}" for letter in ["a", *LETTERS[:-1]]),
    ]


def tokenizer(*, lowercase: bool = True) -> Any:
    """Return a WordPiece tokenizer of transformers."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {piece: number for number, piece in enumerate(vocabulary())}
    backend = Tokenizer(models.WordPiece(ids, unk_token=SPECIAL[1]))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.decoder = decoders.WordPiece()
    names = ("pad", "unk", "cls", "sep", "mask")
    roles = {f"{name}_token": f"[{name.upper()}]" for name in names}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def save_encoder(
    folder: Path, kind: str = "bert", *, seed: int = 7, rounded: bool = False, **options: Any
) -> Path:
    """Save a model of 2 layers, 3 heads of 5 and 19 inner units, and its tokenizer."""
    import transformers

    common = {"vocab_size": len(vocabulary()), "max_position_embeddings": 23}
    if kind == "bert":
        config = transformers.BertConfig(
            hidden_size=15,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=19,
            initializer_range=0.5,
            **common | options,
        )
        model = transformers.BertModel(config, add_pooling_layer=False)
    else:
        config = transformers.DistilBertConfig(
            dim=15, n_layers=2, n_heads=3, hidden_dim=19, initializer_range=0.5, **common | options
        )
        model = transformers.DistilBertModel(config)
    return save(model, tokenizer(), folder, seed, rounded=rounded)


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
