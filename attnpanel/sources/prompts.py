"""Text in, the attention of a pretrained model out."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnpanel.errors import MissingDependencyError
from attnpanel.rules import check_text
from attnpanel.sources.ablation import copying, measure, most_copies, tell_nobody
from attnpanel.sources.capture import capture
from attnpanel.sources.intervene import intervene
from attnpanel.sources.models import MINILM, LoadedModel, load_model
from attnpanel.sources.output_change import OutputChange, embedding_change, prediction_change
from attnpanel.sources.token_text import names_of_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from attnpanel.trace import Trace

__all__ = [
    "LoadedModel",
    "MissingDependencyError",
    "PromptChange",
    "change_prompt",
    "load_model",
    "prompt_inputs",
    "trace_prompt",
]
# What configurations call models that were trained to predict the next token.
LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel")


def trace_prompt(
    text: str,
    model: str = MINILM,
    *,
    max_tokens: int = 2048,
    progress: Callable[[float, str], None] | None = None,
) -> Trace:
    """Run a text through a pretrained model and record its attention.

    The model runs on the CPU as it was loaded, once per process. An encoder-decoder reads the
    text on both sides, so that its cross attention can be seen, too.

    Parameters
    ----------
    text : str
        At least one character other than white space.
    model : str, optional
        ``"minilm"`` (all-MiniLM-L6-v2: 6 layers of 12 heads), which never needs a network, a
        local folder, or a name on the Hugging Face Hub. Code from a model repository is never
        run, and weights are read from safetensors only.
    max_tokens : int, optional
        The most tokens accepted, special tokens included.
    progress : callable, optional
        Called with the fraction done, 0 to 1, and what happens now.

    Returns
    -------
    Trace
        Source "prompt", with tokens as a person reads them: a leading space is a space, and
        WordPiece's "##" stays.

    Raises
    ------
    ValueError
        If the text is empty or too long for `max_tokens` or the model, or the model can't be
        loaded or has no tokenizer.
    MissingDependencyError
        If a package is missing; the message says which command brings it.

    Examples
    --------
    >>> trace = trace_prompt("The trophy does not fit.")     # doctest: +SKIP
    >>> trace.query_tokens[0][:3]                            # doctest: +SKIP
    ('[CLS]', 'the', 'trophy')
    """
    tell = progress or tell_nobody
    _check(text, max_tokens)
    tell(0.0, f"Loading the model {model}")
    prompt = _read(load_model(model), text, max_tokens, tell)
    trace, _ = _run(prompt)
    tell(1.0, "Done")
    return trace


@dataclass(frozen=True, eq=False)
class PromptChange:
    """A prompt through a model as it is, and with its attention changed."""

    before: Trace
    after: Trace
    output: OutputChange


def change_prompt(
    text: str,
    model: str = MINILM,
    *,
    max_tokens: int = 2048,
    progress: Callable[[float, str], None] | None = None,
    **change: Any,
) -> PromptChange:
    """Run a text through a pretrained model twice: as it is, and under an intervention.

    Parameters
    ----------
    text, model, max_tokens, progress
        As for :func:`trace_prompt`.
    **change
        As for :func:`attnpanel.intervene`; `layer` may be a number, too, that of a call in the
        trace, which stands for its module.

    Returns
    -------
    PromptChange
        Of a language model `output` compares the probabilities of the next token, of any other
        the last hidden states.

    Raises
    ------
    ValueError
        As for :func:`trace_prompt` and :func:`attnpanel.intervene`, or if there is no such layer
        or token.
    MissingDependencyError
        If a package is missing; the message says which command brings it.

    Examples
    --------
    >>> change = change_prompt("It fits.", layer=3, head=1, scale=0)     # doctest: +SKIP
    >>> change.output.whole                                              # doctest: +SKIP
    0.0021
    """
    tell = progress or tell_nobody
    _check(text, max_tokens)
    tell(0.0, f"Loading the model {model}")
    loaded = load_model(model)
    if _predicts(loaded):
        loaded = load_model(model, head=True)
    prompt = _read(loaded, text, max_tokens, tell)
    before, plain = _run(prompt)
    _check_tokens(change, before.calls[0].key_len)
    tell(0.7, "Running with changed attention")
    number = change.get("layer")
    if isinstance(number, int):
        if not 0 <= number < len(before.calls):
            raise ValueError(f"layer must be in 0..{len(before.calls) - 1}; got {number}")
        change["layer"] = glob.escape(before.calls[number].layer)
    with intervene(loaded.model.base_model, **change):
        after, changed = _run(prompt)
    tell(0.9, "Comparing the outputs")
    output = _output_change(loaded, plain, changed)
    tell(1.0, "Done")
    return PromptChange(before, after, output)


def _check_tokens(change: Mapping[str, Any], length: int) -> None:
    """Refuse to hide a token that the prompt has not: nothing would change."""
    keys = change.get("hide_keys", ())
    named = [("key", key) for key in ([keys] if isinstance(keys, int) else keys)]
    for query, key in change.get("hide_edges", ()):
        named += [("query", query), ("key", key)]
    for name, number in named:
        if not 0 <= number < length:
            raise ValueError(
                f"{name} must be one of the prompt's {length} tokens, 0 to {length - 1}; "
                f"got {number}"
            )


def measure_prompt(
    trace: Trace,
    text: str,
    model: str = MINILM,
    *,
    max_tokens: int = 2048,
    progress: Callable[[float, str], None] | None = None,
) -> None:
    """Measure the importance of every head for a text: the model runs without each.

    Parameters
    ----------
    trace : Trace
        What :func:`trace_prompt` gave for the same text and model; its `head_importance` is set.
    text, model, max_tokens, progress
        As for :func:`trace_prompt`.

    Raises
    ------
    ValueError
        As for :func:`trace_prompt` and :func:`attnpanel.head_importance`.
    """
    _check(text, max_tokens)
    loaded = load_model(model)
    if _predicts(loaded):
        loaded = load_model(model, head=True)
    inputs, _ = prompt_inputs(loaded, text, max_tokens)
    measure(
        loaded.model.base_model,
        copying(loaded.model, inputs),
        trace,
        most_copies=most_copies(inputs, trace),
        progress=progress or tell_nobody,
    )


@dataclass(frozen=True, eq=False)
class _Prompt:
    """A text as a loaded model reads it."""

    loaded: LoadedModel
    inputs: dict[str, Any]
    tokens: Sequence[str]


def _check(text: str, max_tokens: int) -> None:
    check_text("text", text)
    if not text.strip():
        raise ValueError(f"text must hold a character other than white space; got {text[:80]!r}")
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1; got {max_tokens!r}")


def prompt_inputs(
    loaded: LoadedModel, text: str, max_tokens: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what a model is called with to read a text, and the text's tokens.

    Raises
    ------
    ValueError
        If the text has no token, or more than `max_tokens` or the model allow.
    """
    # verbose=False: the tokenizer would log that a text is long; the rules below say it better.
    inputs = dict(loaded.tokenizer(text, return_tensors="pt", verbose=False))
    ids = inputs["input_ids"]
    loaded.check_length(int(ids.shape[1]), max_tokens)
    if loaded.model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    return inputs, names_of_ids(loaded.tokenizer, ids[0].tolist())


def _read(
    loaded: LoadedModel, text: str, max_tokens: int, tell: Callable[[float, str], None]
) -> _Prompt:
    tell(0.5, "Reading the text")
    inputs, tokens = prompt_inputs(loaded, text, max_tokens)
    tell(0.6, f"Running {len(tokens)} tokens")
    return _Prompt(loaded, inputs, tokens)


def _run(prompt: _Prompt) -> tuple[Trace, Any]:
    """Run a prompt once; return its attention, and what the model puts out."""
    import torch

    loaded = prompt.loaded
    # The base model: with or without a head, its layers have the same names.
    base = loaded.model.base_model
    with torch.inference_mode(), capture(base, tokens=[prompt.tokens]) as trace:
        try:
            outputs = loaded.model(**prompt.inputs)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"model {loaded.name!r} must run on text alone; it says: {error}"
            ) from error
    trace.source, trace.model = "prompt", loaded.name
    return trace, outputs


def _predicts(loaded: LoadedModel) -> bool:
    """Whether a model was trained to predict the next token."""
    names = loaded.model.config.architectures or ()
    return any(str(name).endswith(LANGUAGE_MODELS) for name in names)


def _output_change(loaded: LoadedModel, before: Any, after: Any) -> OutputChange:
    if not _predicts(loaded):
        states = (outputs.last_hidden_state[0].float().numpy() for outputs in (before, after))
        return embedding_change(*states)
    logits = (outputs.logits[0].float().numpy() for outputs in (before, after))
    tokenizer = loaded.tokenizer
    return prediction_change(*logits, name=lambda number: names_of_ids(tokenizer, [number])[0])
