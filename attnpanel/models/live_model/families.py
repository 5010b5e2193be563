"""The families of models that an offline file can run: one row each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Activations that js/live_model/activations.js computes, by their names in configurations.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
    "silu": "silu",
}
# The parts of a layer as js/live_model/transformer.js calls them: products, then norms.
PRODUCTS = ("query", "key", "value", "output", "gate", "up", "down")
NORMS = ("attention_norm", "feed_forward_norm")
# Of rotary embeddings, those in which an angle is the position times a fixed number.
ROPE_TYPES = ("default", "linear", "llama3")


@dataclass(frozen=True)
class ModelFamily:
    """Transformers that differ in names and sizes only.

    Attributes
    ----------
    model_type : str
        As in a model's configuration.
    label : str
        The family's usual name.
    embeddings : mapping of str to str
        Names in the state dict of ``words`` and ``norm`` (of the embeddings, or with `norm_first`
        after the last layer), and, if any, ``positions`` and ``types``.
    layer : str
        The beginning of a layer's names, with ``{}`` for its number.
    parts : mapping of str to str
        Names within a layer of :data:`PRODUCTS` and :data:`NORMS`; parts of the same name are
        stored as one, in that order. Only gated feed-forward parts have a ``gate``.
    options : mapping of str to str
        Names in the configuration of ``width``, ``layers``, ``heads`` and ``activation``, and, if
        any, of ``epsilon``, ``kv_heads`` and ``head_dim``.
    epsilon : float, optional
        What normalization adds to a variance, if the configuration does not say it.
    required : mapping of str to object
        Options of the configuration that must have a value where they exist.
    causal : bool
        Whether a token sees itself and those before it only.
    norm_first : bool
        Whether what a part of a layer reads is normalized, and not its sum.
    norm : {"layer", "rms"}
        Which normalization.
    transposed : bool
        Whether matrices are stored as (inputs, outputs), as by GPT-2's ``Conv1D``.
    rotary : bool
        Whether positions rotate queries and keys, channel c with channel ``c + head_dim / 2``.
    padded_positions : bool
        Whether positions are counted from the padding token's id + 1, without padding tokens.
    check : callable, optional
        Returns why a configuration is not supported, or "".
    """

    model_type: str
    label: str
    embeddings: Mapping[str, str]
    layer: str
    parts: Mapping[str, str]
    options: Mapping[str, str]
    epsilon: float = 1e-12
    required: Mapping[str, Any] = field(default_factory=dict)
    causal: bool = False
    norm_first: bool = False
    norm: Literal["layer", "rms"] = "layer"
    transposed: bool = False
    rotary: bool = False
    padded_positions: bool = False
    check: Callable[[Any], str] | None = None

    def unsupported(self, config: Any) -> str:
        """Return why a model with this configuration can't be stored, or ""."""
        for name, value in self.required.items():
            got = getattr(config, name, value)
            if got != value:
                return f"{name} must be {value!r}; got {got!r}"
        activation = self.option(config, "activation")
        if activation not in ACTIVATIONS:
            name = self.options["activation"]
            return f"{name} must be one of {', '.join(ACTIVATIONS)}; got {activation!r}"
        width, heads = self.option(config, "width"), self.option(config, "heads")
        if "head_dim" not in self.options and width % heads:
            return f"{heads} heads must divide its width; got {width}"
        return self.check(config) if self.check else ""

    def option(self, config: Any, name: str) -> Any:
        """Return an option of a configuration by our name."""
        return getattr(config, self.options[name])

    def shape(self, config: Any) -> dict[str, Any]:
        """Return the options that describe a model, by the names that JavaScript has."""
        width, heads = self.option(config, "width"), self.option(config, "heads")
        found = {name: self.option(config, name) for name in self.options}
        return {
            "layers": found["layers"],
            "heads": heads,
            "kvHeads": found.get("kv_heads", heads),
            "headDim": found.get("head_dim", width // heads),
            "width": width,
            "causal": self.causal,
            "normFirst": self.norm_first,
            "norm": self.norm,
            "activation": ACTIVATIONS[found["activation"]],
            "epsilon": found.get("epsilon", self.epsilon),
        }


_BERT_EMBEDDINGS = {
    "words": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "norm": "embeddings.LayerNorm",
}

_BERT = ModelFamily(
    "bert",
    "BERT",
    embeddings=_BERT_EMBEDDINGS | {"types": "embeddings.token_type_embeddings.weight"},
    layer="encoder.layer.{}.",
    parts={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "output": "attention.output.dense",
        "up": "intermediate.dense",
        "down": "output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "feed_forward_norm": "output.LayerNorm",
    },
    options={
        "width": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "activation": "hidden_act",
        "epsilon": "layer_norm_eps",
    },
    required={
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    },
)


def _rope_problem(config: Any) -> str:
    """Return why a configuration's rotary embedding is not supported, or ""."""
    kind = (config.rope_parameters or {}).get("rope_type", "default")
    if kind in ROPE_TYPES:
        return ""
    return f"rope_type must be one of {', '.join(ROPE_TYPES)}; got {kind!r}"


FAMILIES: tuple[ModelFamily, ...] = (
    _BERT,
    replace(_BERT, model_type="roberta", label="RoBERTa", padded_positions=True),
    ModelFamily(
        "distilbert",
        "DistilBERT",
        embeddings=_BERT_EMBEDDINGS,
        layer="transformer.layer.{}.",
        parts={
            "query": "attention.q_lin",
            "key": "attention.k_lin",
            "value": "attention.v_lin",
            "output": "attention.out_lin",
            "up": "ffn.lin1",
            "down": "ffn.lin2",
            "attention_norm": "sa_layer_norm",
            "feed_forward_norm": "output_layer_norm",
        },
        options={
            "width": "dim",
            "layers": "n_layers",
            "heads": "n_heads",
            "activation": "activation",
        },
    ),
    ModelFamily(
        "gpt2",
        "GPT-2",
        embeddings={"words": "wte.weight", "positions": "wpe.weight", "norm": "ln_f"},
        layer="h.{}.",
        parts={
            "query": "attn.c_attn",
            "key": "attn.c_attn",
            "value": "attn.c_attn",
            "output": "attn.c_proj",
            "up": "mlp.c_fc",
            "down": "mlp.c_proj",
            "attention_norm": "ln_1",
            "feed_forward_norm": "ln_2",
        },
        options={
            "width": "n_embd",
            "layers": "n_layer",
            "heads": "n_head",
            "activation": "activation_function",
            "epsilon": "layer_norm_epsilon",
        },
        required={
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "add_cross_attention": False,
        },
        causal=True,
        norm_first=True,
        transposed=True,
    ),
    ModelFamily(
        "llama",
        "Llama",
        embeddings={"words": "embed_tokens.weight", "norm": "norm"},
        layer="layers.{}.",
        parts={
            "query": "self_attn.q_proj",
            "key": "self_attn.k_proj",
            "value": "self_attn.v_proj",
            "output": "self_attn.o_proj",
            "gate": "mlp.gate_proj",
            "up": "mlp.up_proj",
            "down": "mlp.down_proj",
            "attention_norm": "input_layernorm",
            "feed_forward_norm": "post_attention_layernorm",
        },
        options={
            "width": "hidden_size",
            "layers": "num_hidden_layers",
            "heads": "num_attention_heads",
            "kv_heads": "num_key_value_heads",
            "head_dim": "head_dim",
            "activation": "hidden_act",
            "epsilon": "rms_norm_eps",
        },
        causal=True,
        norm_first=True,
        norm="rms",
        rotary=True,
        check=_rope_problem,
    ),
)


def family_of(config: Any) -> ModelFamily:
    """Return the family of a model by its configuration.

    Raises
    ------
    ValueError
        If no row of :data:`FAMILIES` is for it, or the model differs from its family.
    """
    family = next((row for row in FAMILIES if row.model_type == config.model_type), None)
    if family is None:
        known = ", ".join(row.model_type for row in FAMILIES)
        raise ValueError(
            f"a model in a file must be of a known family ({known}); got {config.model_type!r}"
        )
    reason = family.unsupported(config)
    if reason:
        raise ValueError(f"a {family.label} model in a file can't be run: {reason}")
    return family
