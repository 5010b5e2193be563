"""Run a text through a pretrained model and record its attention."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnpanel.attention.errors import MissingDependencyError
from attnpanel.attention.validation import check_flag, check_text
from attnpanel.models.capture.capture import capture
from attnpanel.models.intervene.head_importance import copying, max_copies, measure, no_progress
from attnpanel.models.intervene.intervene import intervene
from attnpanel.models.intervene.output_change import (
    OutputChange,
    embedding_change,
    prediction_change,
)
from attnpanel.models.loading import MINILM, LoadedModel, load_model
from attnpanel.models.tokens import names_of_ids, origins_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from attnpanel.trace import Trace
    from attnpanel.trace.token_origins import TokenOrigins

__all__ = [
    "LoadedModel",
    "MissingDependencyError",
    "PromptChange",
    "change_prompt",
    "load_model",
    "prompt_inputs",
    "trace_prompt",
]
# Endings of architecture names of models that were trained to predict the next token.
LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel")


def trace_prompt(
    text: str | Sequence[str],
    model: str = MINILM,
    *,
    max_tokens: int = 2048,
    outputs: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Trace:
    """Run a text through a pretrained model and record its attention.

    The model runs on the CPU and is loaded once per process. An encoder-decoder reads the text on
    both sides, so that cross attention is recorded, too.

    Parameters
    ----------
    text : str or sequence of str
        At least one character other than white space. Several texts are one batch, padded as the
        tokenizer pads, or on the right with its end token where it has no padding.
    model : str, optional
        ``"minilm"`` (all-MiniLM-L6-v2: 6 layers of 12 heads), which never needs a network, a
        local folder, or a name on the Hugging Face Hub. Code from a model repository is never
        run, and weights are read from safetensors only.
    max_tokens : int, optional
        The most tokens accepted, special tokens included.
    outputs : bool, optional
        As for :func:`attnpanel.capture`: also record what heads write after the output projection.
        A model that was trained to predict the next token then runs with its unembedding, so that
        the tokens that this promotes are known.
    progress : callable, optional
        Called with the fraction done, 0 to 1, and a message.

    Returns
    -------
    Trace
        Source "prompt". Its tokens are readable: a leading space is a space, and WordPiece's "##"
        stays.

    Raises
    ------
    ValueError
        If the text is empty or too long for `max_tokens` or the model, or the model can't be
        loaded or has no tokenizer.
    MissingDependencyError
        If a package is missing; the message has the command that installs it.

    Examples
    --------
    >>> trace = trace_prompt("The trophy does not fit.")     # doctest: +SKIP
    >>> trace.query_tokens[0][:3]                            # doctest: +SKIP
    ('[CLS]', 'the', 'trophy')
    """
    on_progress = progress or no_progress
    check_prompt(text, max_tokens)
    on_progress(0.0, f"Loading the model {model}")
    check_flag("outputs", outputs)
    loaded = load_for_output(model) if outputs else load_model(model)
    prompt = tokenize(loaded, text, max_tokens, on_progress)
    trace, _ = run_prompt(prompt, outputs=outputs)
    on_progress(1.0, "Done")
    return trace


def trace_ids(loaded: LoadedModel, ids: Sequence[int]) -> Trace:
    """Run token ids through a model, without padding, and record its attention."""
    import torch

    inputs = {"input_ids": torch.tensor([list(ids)])}
    trace, _ = run_prompt(Prompt(loaded, inputs, [names_of_ids(loaded.tokenizer, ids)]))
    return trace


@dataclass(frozen=True, eq=False)
class PromptChange:
    """A prompt's attention without and with an intervention, and the effect on the output."""

    before: Trace
    after: Trace
    output: OutputChange


def change_prompt(
    text: str,
    model: str = MINILM,
    *,
    max_tokens: int = 2048,
    outputs: bool = False,
    progress: Callable[[float, str], None] | None = None,
    **change: Any,
) -> PromptChange:
    """Run a text through a pretrained model twice: unchanged, and under an intervention.

    Parameters
    ----------
    text, model, max_tokens, outputs, progress
        As for :func:`trace_prompt`.
    **change
        As for :func:`attnpanel.intervene`; `layer` may also be the number of a call in the trace,
        which selects its module.

    Returns
    -------
    PromptChange
        Its `output` compares the next token's probabilities of a language model, and the last
        hidden states of any other model.

    Raises
    ------
    ValueError
        As for :func:`trace_prompt` and :func:`attnpanel.intervene`, or if there is no such layer or
        token.
    MissingDependencyError
        If a package is missing; the message has the command that installs it.

    Examples
    --------
    >>> change = change_prompt("It fits.", layer=3, head=1, scale=0)     # doctest: +SKIP
    >>> change.output.whole                                              # doctest: +SKIP
    0.0021
    """
    on_progress = progress or no_progress
    check_prompt(text, max_tokens)
    on_progress(0.0, f"Loading the model {model}")
    loaded = load_for_output(model)
    prompt = tokenize(loaded, text, max_tokens, on_progress)
    return changed_run(prompt, change, on_progress, outputs=outputs)


def changed_run(
    prompt: Prompt,
    change: Mapping[str, Any],
    on_progress: Callable[[float, str], None],
    *,
    outputs: bool = False,
) -> PromptChange:
    """Run a prompt unchanged and under an intervention, as for :func:`change_prompt`."""
    loaded = prompt.loaded
    before, outputs_before = run_prompt(prompt)
    _check_tokens(change, before.calls[0].key_len)
    on_progress(0.7, "Running with changed attention")
    with intervene(loaded.model.base_model, **with_module(change, before)):
        after, outputs_after = run_prompt(prompt, outputs=outputs)
    on_progress(0.9, "Comparing the outputs")
    output = _output_change(loaded, outputs_before, outputs_after)
    on_progress(1.0, "Done")
    return PromptChange(before, after, output)


def with_module(change: Mapping[str, Any], trace: Trace) -> dict[str, Any]:
    """Return an intervention whose layer, if it is the number of a call, is that call's module."""
    number = change.get("layer")
    if not isinstance(number, int):
        return dict(change)
    if not 0 <= number < len(trace.calls):
        raise ValueError(f"layer must be in 0..{len(trace.calls) - 1}; got {number}")
    return {**change, "layer": glob.escape(trace.calls[number].layer)}


def _check_tokens(change: Mapping[str, Any], length: int) -> None:
    """Raise ValueError if a hidden token is not in the prompt: nothing would change."""
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
    """Measure the importance of every head for a text; the model runs without each head.

    Parameters
    ----------
    trace : Trace
        The result of :func:`trace_prompt` for the same text and model; its `head_importance` is
        set.
    text, model, max_tokens, progress
        As for :func:`trace_prompt`.

    Raises
    ------
    ValueError
        As for :func:`trace_prompt` and :func:`attnpanel.head_importance`.
    """
    check_prompt(text, max_tokens)
    loaded = load_for_output(model)
    inputs, _ = prompt_inputs(loaded, text, max_tokens)
    measure(
        loaded.model.base_model,
        copying(loaded.model, inputs),
        trace,
        max_copies=max_copies(inputs, trace),
        progress=progress or no_progress,
    )


@dataclass(frozen=True, eq=False)
class Prompt:
    """A tokenized text and the model to run it through."""

    loaded: LoadedModel
    inputs: dict[str, Any]
    tokens: Sequence[Sequence[str]]
    origins: TokenOrigins | None = None


def check_prompt(text: str | Sequence[str], max_tokens: int) -> None:
    """Raise ValueError if a text is no text, or holds nothing but white space."""
    texts: Sequence[Any] = text if isinstance(text, list | tuple) else [text]
    if not texts:
        raise ValueError("text must be at least one text; got none")
    for each in texts:
        check_text("text", each)
        if not each.strip():
            raise ValueError(
                f"text must hold a character other than white space; got {each[:80]!r}"
            )
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1; got {max_tokens!r}")


def prompt_inputs(
    loaded: LoadedModel, text: str, max_tokens: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a model's keyword arguments for a text, and the text's tokens.

    Raises
    ------
    ValueError
        If the text has no token, or more than `max_tokens` or the model allows.
    """
    # verbose=False: the tokenizer would log that a text is long; check_length raises instead.
    inputs = dict(loaded.tokenizer(text, return_tensors="pt", verbose=False))
    ids = inputs["input_ids"]
    loaded.check_length(int(ids.shape[1]), max_tokens)
    if loaded.model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    return inputs, names_of_ids(loaded.tokenizer, ids[0].tolist())


def batch_inputs(
    loaded: LoadedModel, texts: Sequence[str], max_tokens: int
) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Return a model's keyword arguments for several texts, padded, and their tokens.

    Raises
    ------
    ValueError
        As for :func:`prompt_inputs`, of any of the texts.
    """
    import torch

    tokenizer = loaded.tokenizer
    encoded = tokenizer(list(texts), verbose=False)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    for length in (min(lengths), max(lengths)):
        loaded.check_length(length, max_tokens)
    if tokenizer.pad_token_id is not None:
        inputs = dict(tokenizer.pad(encoded, return_tensors="pt", verbose=False))
    else:  # on the right, where no query of a causal model sees it
        fill = {"input_ids": tokenizer.eos_token_id or 0}
        inputs = {
            name: torch.tensor(
                [row + [fill.get(name, 0)] * (max(lengths) - len(row)) for row in rows]
            )
            for name, rows in encoded.items()
        }
    if loaded.model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
        inputs["decoder_attention_mask"] = inputs["attention_mask"]
    return inputs, [names_of_ids(tokenizer, row) for row in inputs["input_ids"].tolist()]


def tokenize(
    loaded: LoadedModel,
    text: str | Sequence[str],
    max_tokens: int,
    on_progress: Callable[[float, str], None],
) -> Prompt:
    """Return a text, or several as one batch, as a model reads it."""
    on_progress(0.5, "Reading the text")
    if isinstance(text, str):
        inputs, tokens = prompt_inputs(loaded, text, max_tokens)
        rows: Sequence[Sequence[str]] = [tokens]
    else:
        inputs, rows = batch_inputs(loaded, text, max_tokens)
    on_progress(0.6, f"Running {sum(map(len, rows))} tokens")
    texts = [text] if isinstance(text, str) else list(text)
    return Prompt(loaded, inputs, rows, origins_of(loaded.tokenizer, texts))


def run_prompt(prompt: Prompt, *, outputs: bool = False) -> tuple[Trace, Any]:
    """Run a prompt once; return its attention and the model's outputs."""
    import torch

    loaded = prompt.loaded
    # Captured is the base model: its layers have the same names with and without a head.
    base = loaded.model.base_model
    named: dict[str, Any] = {"tokens": prompt.tokens}
    if outputs:  # promoted tokens have names, too
        named = {"tokenizer": loaded.tokenizer, "outputs": True}
    with torch.inference_mode(), capture(base, **named) as trace:
        try:
            given = loaded.model(**prompt.inputs)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"model {loaded.name!r} must run on text alone; it raised: {error}"
            ) from error
    trace.source, trace.model, trace.model_location = "prompt", loaded.name, loaded.location
    trace.origins = prompt.origins
    return trace, given


def load_for_output(model: str) -> LoadedModel:
    """Load a model, with its language-model head if it was trained with one."""
    loaded = load_model(model)
    return load_model(model, head=True) if predicts(loaded) else loaded


def predicts(loaded: LoadedModel) -> bool:
    """Whether a model was trained to predict the next token."""
    names = loaded.model.config.architectures or ()
    return any(str(name).endswith(LANGUAGE_MODELS) for name in names)


def _output_change(loaded: LoadedModel, before: Any, after: Any) -> OutputChange:
    if not predicts(loaded):
        states = (outputs.last_hidden_state[0].float().numpy() for outputs in (before, after))
        return embedding_change(*states)
    logits = (outputs.logits[0].float().numpy() for outputs in (before, after))
    tokenizer = loaded.tokenizer
    return prediction_change(*logits, name=lambda token: names_of_ids(tokenizer, [token])[0])
