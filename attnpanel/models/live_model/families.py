"""The families of models that an offline file can run: one row each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Activations that js/live_model/transformer.js computes, by their names in configurations.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
}
# The parts of a layer as js/live_model/transformer.js calls them: products, then norms.
PRODUCTS = ("query", "key", "value", "output", "up", "down")
NORMS = ("attention_norm", "feed_forward_norm")


@dataclass(frozen=True)
class ModelFamily:
    """Encoders with post-normalization, which differ in names only.

    Attributes
    ----------
    model_type : str
        As in a model's configuration.
    label : str
        The family's usual name.
    embeddings : mapping of str to str
        Names in the state dict of ``words``, ``positions``, ``norm`` and, if any, ``types``.
    layer : str
        The beginning of a layer's names, with ``{}`` for its number.
    parts : mapping of str to str
        Names within a layer of :data:`PRODUCTS` and :data:`NORMS`.
    options : mapping of str to str
        Names in the configuration of ``width``, ``layers``, ``heads``, ``inner`` and
        ``activation``, and of ``epsilon`` unless that is fixed.
    epsilon : float, optional
        What normalization adds to a variance, if the configuration does not say it.
    required : mapping of str to object
        Options of the configuration that must have a value where they exist.
    """

    model_type: str
    label: str
    embeddings: Mapping[str, str]
    layer: str
    parts: Mapping[str, str]
    options: Mapping[str, str]
    epsilon: float = 1e-12
    required: Mapping[str, Any] = field(default_factory=dict)

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
        return "" if width % heads == 0 else f"{heads} heads must divide its width; got {width}"

    def option(self, config: Any, name: str) -> Any:
        """Return an option of a configuration by our name."""
        return getattr(config, self.options[name])

    def shape(self, config: Any) -> dict[str, Any]:
        """Return the options that describe a model's shape, by the names that JavaScript has."""
        width, heads = self.option(config, "width"), self.option(config, "heads")
        epsilon = self.option(config, "epsilon") if "epsilon" in self.options else self.epsilon
        return {
            "layers": self.option(config, "layers"),
            "heads": heads,
            "headDim": width // heads,
            "width": width,
            "inner": self.option(config, "inner"),
            "activation": ACTIVATIONS[self.option(config, "activation")],
            "epsilon": epsilon,
        }


_BERT_EMBEDDINGS = {
    "words": "embeddings.word_embeddings.weight",
    "positions": "embeddings.position_embeddings.weight",
    "norm": "embeddings.LayerNorm",
}

FAMILIES: tuple[ModelFamily, ...] = (
    ModelFamily(
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
            "inner": "intermediate_size",
            "activation": "hidden_act",
            "epsilon": "layer_norm_eps",
        },
        required={
            "position_embedding_type": "absolute",
            "is_decoder": False,
            "add_cross_attention": False,
        },
    ),
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
            "inner": "hidden_dim",
            "activation": "activation",
        },
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
