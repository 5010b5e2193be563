"""Generate text with a language model and record its attention as one call a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.attention.progress import no_progress
from attnpanel.attention.validation import check_text
from attnpanel.models.capture.capture import capture
from attnpanel.models.loading import load_model
from attnpanel.models.tokens import names_of_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from attnpanel.models.loading import LoadedModel
    from attnpanel.trace import Trace


def trace_generation(
    text: str,
    model: str,
    *,
    new_tokens: int = 20,
    max_tokens: int = 2048,
    progress: Callable[[float, str], None] | None = None,
) -> Trace:
    """Continue a text with a language model and record its attention over the whole.

    Decoding is greedy: the likeliest token comes next, with nothing random, until `new_tokens` are
    generated or the model ends the text. The model generates with a key/value cache, and its steps
    are merged into one call a layer over prompt and continuation. An encoder-decoder reads the text
    and generates another.

    Parameters
    ----------
    text : str
        At least one character other than white space.
    model : str
        A local folder, or a name on the Hugging Face Hub, of a model with a language-model head.
        Code from a model repository is never run, and weights are read from safetensors only.
    new_tokens : int, optional
        The most tokens to generate.
    max_tokens : int, optional
        The most tokens accepted, special and new ones included.
    progress : callable, optional
        Called with the fraction done, 0 to 1, and a message.

    Returns
    -------
    Trace
        Source "generation". Its tokens are those that the model read: the last generated token has
        no row, because the model was not run on it. It can be predicted from the row before.

    Raises
    ------
    ValueError
        If the text is empty, too long for `max_tokens` or the model, or the model can't be loaded,
        has no tokenizer or can't generate.
    MissingDependencyError
        If a package is missing; the message has the command that installs it.

    Examples
    --------
    >>> trace = trace_generation("Once upon a time", "gpt2", new_tokens=3)     # doctest: +SKIP
    >>> trace.query_tokens[0]                                                  # doctest: +SKIP
    ('Once', ' upon', ' a', ' time', ',', ' the')
    """
    check_text("text", text)
    if not text.strip():
        raise ValueError(f"text must hold a character other than white space; got {text[:80]!r}")
    if new_tokens < 1:
        raise ValueError(f"new_tokens must be at least 1; got {new_tokens!r}")
    on_progress = progress or no_progress
    on_progress(0.0, f"Loading the model {model}")
    loaded = load_model(model, head=True)
    ids = loaded.tokenizer(text, return_tensors="pt", verbose=False)["input_ids"]
    count = int(ids.shape[1])
    has_encoder = loaded.model.config.is_encoder_decoder
    loaded.check_length(count if has_encoder else count + new_tokens, max_tokens)

    def on_token(done: int) -> None:
        on_progress(0.5 + 0.5 * done / new_tokens, f"Writing token {done} of {new_tokens}")

    trace, generated = _generate(loaded, ids, new_tokens, on_token)
    input_tokens, read_tokens = (
        names_of_ids(loaded.tokenizer, row[0].tolist()) for row in (ids, generated[:, :-1])
    )
    trace.set_tokens([read_tokens], [input_tokens] if has_encoder else None)
    trace.source, trace.model = "generation", loaded.name
    on_progress(1.0, "Done")
    return trace


def _generate(
    loaded: LoadedModel, ids: Tensor, new_tokens: int, on_token: Callable[[int], None]
) -> tuple[Trace, Tensor]:
    import torch
    import transformers

    own = loaded.model.generation_config
    # Overrides the model's own configuration, which may sample, search with beams or stop early.
    config = transformers.GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        bos_token_id=own.bos_token_id,
        eos_token_id=own.eos_token_id,
        pad_token_id=0 if own.pad_token_id is None else own.pad_token_id,
        decoder_start_token_id=own.decoder_start_token_id,
    )
    done = 0

    def count_token(_ids: Tensor, _scores: Any) -> Tensor:
        nonlocal done
        done += 1
        on_token(done)
        return torch.zeros(1, dtype=torch.bool)

    # Captured is the base model, so that layers have the same names as without the head.
    with torch.inference_mode(), capture(loaded.model.base_model) as trace:
        try:
            generated = loaded.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=config,
                stopping_criteria=transformers.StoppingCriteriaList([count_token]),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"model {loaded.name!r} must generate from text alone; it raised: {error}"
            ) from error
    return trace, generated
