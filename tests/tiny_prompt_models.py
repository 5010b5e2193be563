"""Tiny models with their tokenizers, saved in folders."""

from __future__ import annotations

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = "the cat sat on the mat"
SIZES = {
    "vocab_size": 300,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
}


def save_tokenizer(folder):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    made.train_from_iterator([TEXT] * 3, trainer)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(folder)


def save_model(folder, family="llama"):
    config, model = {
        "llama": (transformers.LlamaConfig(**SIZES), transformers.LlamaModel),
        "bert": (transformers.BertConfig(**SIZES), transformers.BertModel),
        "roberta": (transformers.RobertaConfig(**SIZES), transformers.RobertaModel),
        "t5": (
            transformers.T5Config(
                vocab_size=300, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2
            ),
            transformers.T5Model,
        ),
    }[family]
    model(config).save_pretrained(folder)
    return folder
