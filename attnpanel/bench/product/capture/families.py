"""Small random models of Hugging Face's families, with the weights that each returns itself."""

from __future__ import annotations

from typing import Any

B, T, VOCABULARY = 2, 7, 61
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DECODER = {**TEXT, "max_position_embeddings": 32}
GROUPED = {**DECODER, "num_key_value_heads": 2, "head_dim": 6}
GPT = {
    "vocab_size": VOCABULARY,
    "n_embd": 24,
    "n_layer": 2,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SEQUENCES = {
    "vocab_size": VOCABULARY,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
IMAGE = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "image_size": 8,
    "patch_size": 4,
}
# Family: its configuration's class, its options, and its model's class.
FAMILIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "bert": ("BertConfig", TEXT, "BertModel"),
    "roberta": ("RobertaConfig", {**TEXT, "max_position_embeddings": 40}, "RobertaModel"),
    "distilbert": (
        "DistilBertConfig",
        {"vocab_size": VOCABULARY, "dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 32},
        "DistilBertModel",
    ),
    "albert": ("AlbertConfig", {**TEXT, "embedding_size": 12}, "AlbertModel"),
    "deberta-v2": (
        "DebertaV2Config",
        {
            **DECODER,
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
        },
        "DebertaV2Model",
    ),
    "electra": ("ElectraConfig", {**TEXT, "embedding_size": 12}, "ElectraModel"),
    "mpnet": ("MPNetConfig", TEXT, "MPNetModel"),
    "xlnet": (
        "XLNetConfig",
        {"vocab_size": VOCABULARY, "d_model": 24, "n_layer": 2, "n_head": 4, "d_inner": 32},
        "XLNetModel",
    ),
    "gpt2": ("GPT2Config", {**GPT, "n_head": 4}, "GPT2Model"),
    "gpt-neox": ("GPTNeoXConfig", DECODER, "GPTNeoXModel"),
    "gpt-j": ("GPTJConfig", {**GPT, "n_head": 3, "rotary_dim": 4}, "GPTJModel"),
    "opt": (
        "OPTConfig",
        {**DECODER, "ffn_dim": 32, "word_embed_proj_dim": 24},
        "OPTModel",
    ),
    "bloom": (
        "BloomConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 24, "n_layer": 2, "n_head": 4},
        "BloomModel",
    ),
    "llama": ("LlamaConfig", GROUPED, "LlamaModel"),
    "mistral": ("MistralConfig", {**GROUPED, "sliding_window": 3}, "MistralModel"),
    "qwen3": ("Qwen3Config", GROUPED, "Qwen3Model"),
    "gemma2": ("Gemma2Config", {**GROUPED, "sliding_window": 3}, "Gemma2Model"),
    "gemma3": ("Gemma3TextConfig", {**GROUPED, "sliding_window": 3}, "Gemma3TextModel"),
    "phi": ("PhiConfig", {**DECODER, "hidden_size": 32}, "PhiModel"),
    "falcon": (
        "FalconConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "multi_query": True,
        },
        "FalconModel",
    ),
    "t5": (
        "T5Config",
        {
            "vocab_size": VOCABULARY,
            "d_model": 24,
            "d_kv": 6,
            "d_ff": 32,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
        },
        "T5Model",
    ),
    "bart": ("BartConfig", {**SEQUENCES, "max_position_embeddings": 32}, "BartModel"),
    "whisper": (
        "WhisperConfig",
        {**SEQUENCES, "num_mel_bins": 8, "max_source_positions": 9, "max_target_positions": 16},
        "WhisperModel",
    ),
    "vit": ("ViTConfig", IMAGE, "ViTModel"),
    "clip": ("CLIPVisionConfig", IMAGE, "CLIPVisionModel"),
    "mixtral": ("MixtralConfig", {**GROUPED, "num_local_experts": 2}, "MixtralModel"),
    "gpt-oss": (
        "GptOssConfig",
        {
            **GROUPED,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "sliding_window": 3,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        "GptOssModel",
    ),
}
# Families whose code has eager attention only.
EAGER_ONLY = {"deberta-v2", "mpnet", "xlnet", "gpt-j", "bloom", "gemma2", "gpt-oss"}


def build(family: str, attention: str) -> Any:
    """Return a small model of a family with random weights, the same each time."""
    import torch
    import transformers

    config_name, options, model_name = FAMILIES[family]
    torch.manual_seed(0)
    config = getattr(transformers, config_name)(**options)
    made: Any = getattr(transformers, model_name)
    model = made._from_config(config, attn_implementation=attention)  # noqa: SLF001 - as load does
    return model.eval()


def inputs_for(family: str) -> dict[str, Any]:
    """Return the inputs of a family's model; of texts the second is padded."""
    import torch

    torch.manual_seed(1)
    if family in {"vit", "clip"}:
        return {"pixel_values": torch.randn(B, 3, 8, 8)}
    ids = torch.randint(3, VOCABULARY, (B, T))
    if family == "whisper":
        return {"input_features": torch.randn(B, 8, 18), "decoder_input_ids": ids}
    padded = torch.ones(B, T, dtype=torch.long)
    padded[1, 5:] = 0
    decoder = {"decoder_input_ids": ids[:, :5]} if family in {"t5", "bart"} else {}
    return {"input_ids": ids, "attention_mask": padded, **decoder}


def own_weights(family: str, inputs: dict[str, Any]) -> list[Any]:
    """Return the model's own weights in the order of computation, by eager attention."""
    import torch

    with torch.no_grad():
        outputs = build(family, "eager")(**inputs, output_attentions=True)
    if "encoder_attentions" not in outputs:
        return list(outputs.attentions)
    decoder = zip(outputs.decoder_attentions, outputs.cross_attentions, strict=True)
    return [*outputs.encoder_attentions, *(weights for layer in decoder for weights in layer)]
