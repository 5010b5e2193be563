"""Text in, the attention of a pretrained model out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.errors import MissingDependencyError
from attnpanel.rules import check_text
from attnpanel.sources.capture import capture
from attnpanel.sources.models import MINILM, LoadedModel, load_model
from attnpanel.sources.token_text import is_byte_level, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.trace import Trace

__all__ = ["LoadedModel", "MissingDependencyError", "load_model", "trace_prompt"]


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
    check_text("text", text)
    if not text.strip():
        raise ValueError(f"text must hold a character other than white space; got {text[:80]!r}")
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be at least 1; got {max_tokens!r}")
    tell = progress or (lambda _fraction, _message: None)
    tell(0.0, f"Loading the model {model}")
    loaded = load_model(model)
    tell(0.5, "Reading the text")
    trace = _run(loaded, text, max_tokens, lambda count: tell(0.6, f"Running {count} tokens"))
    tell(1.0, "Done")
    return trace


def _run(loaded: LoadedModel, text: str, max_tokens: int, start: Callable[[int], None]) -> Trace:
    import torch

    # verbose=False: the tokenizer would log that a text is long; the rules below say it better.
    inputs = dict(loaded.tokenizer(text, return_tensors="pt", verbose=False))
    ids = inputs["input_ids"]
    count = int(ids.shape[1])
    loaded.check_length(count, max_tokens)
    start(count)
    if loaded.model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    pieces = loaded.tokenizer.convert_ids_to_tokens(ids[0].tolist())
    tokens = readable(pieces, byte_level=is_byte_level(loaded.tokenizer))
    with torch.inference_mode(), capture(loaded.model, tokens=[tokens]) as trace:
        try:
            loaded.model(**inputs)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"model {loaded.name!r} must run on text alone; it says: {error}"
            ) from error
    trace.source, trace.model = "prompt", loaded.name
    return trace
