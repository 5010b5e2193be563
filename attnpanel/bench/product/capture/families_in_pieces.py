"""Small random models whose attention is computed in pieces: chunks, bands, blocks, low rank."""

from __future__ import annotations

from typing import Any

B, T, VOCABULARY = 2, 16, 61
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 128,
}
SEQUENCES = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
LONG_T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 4,
    "local_radius": 3,
    "global_block_size": 4,
    "decoder_start_token_id": 0,
}
BLOCKS = {"attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 1}
# Family: configuration and its options, length of the input, what the layers left out are called,
# and how many calls are whole.
PIECES: dict[str, tuple[dict[str, Any], int, str, int]] = {
    "Longformer": ({**TEXT, "attention_window": 4}, T, "attention.self", 2),
    "LED": ({**SEQUENCES, "attention_window": 4}, T, "encoder.layers.0", 3),
    "BigBird": ({**TEXT, **BLOCKS}, 64, "attention.self", 0),
    "BigBirdPegasus": ({**SEQUENCES, **BLOCKS}, 64, "encoder.layers.0", 2),
    "PegasusX": ({**SEQUENCES, "block_size": 4, "num_global_tokens": 3}, T, "encoder.layers.0", 2),
    "LongT5": ({**LONG_T5, "encoder_attention_type": "local"}, T, "LocalSelfAttention", 2),
    "LongT5 with global keys": (
        {**LONG_T5, "encoder_attention_type": "transient-global"},
        T,
        "TransientGlobalSelfAttention",
        2,
    ),
    "Nystromformer": (
        {**TEXT, "segment_means_seq_len": T, "num_landmarks": 4},
        T,
        "attention.self",
        0,
    ),
    "Mra": ({**TEXT}, 64, "attention.self", 0),
    "Canine": (
        {
            **TEXT,
            "downsampling_rate": 4,
            "local_transformer_stride": 4,
            "num_hash_buckets": 64,
            "num_hidden_layers": 1,
        },
        T,
        "initial_char_encoder",
        2,
    ),
}

# Whose pieces the capture puts together.
TOGETHER = ("Longformer", "LED")


def built(family: str) -> tuple[Any, dict[str, Any]]:
    """Return a small model of a family with random weights, and its inputs."""
    import torch
    import transformers

    options, length, *_ = PIECES[family]
    name = family.split(maxsplit=1)[0]
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**options))
    ids = torch.randint(3, VOCABULARY - 1, (B, length))
    decoder = {"decoder_input_ids": ids[:, :T]} if model.config.is_encoder_decoder else {}
    return model.eval(), {"input_ids": ids, **decoder}
