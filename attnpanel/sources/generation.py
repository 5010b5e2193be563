"""Text in, text written on by a language model out: its attention as one picture a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.rules import check_text
from attnpanel.sources.capture import capture
from attnpanel.sources.models import load_model
from attnpanel.sources.token_text import names_of_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from attnpanel.sources.models import LoadedModel
    from attnpanel.trace import Trace


def trace_generation(
    text: str,
    model: str,
    *,
    new_tokens: int = 20,
    max_tokens: int = 2048,
    progress: Callable[[float, str], None] | None = None,
) -> Trace:
    """Have a language model write on, and record its attention over the whole.

    The likeliest token comes next (greedy decoding, nothing random), until `new_tokens` are there
    or the model ends its text. The steps, which the model takes with a key/value cache, are put
    together: each layer is one call over prompt and continuation. An encoder-decoder reads the
    text and writes another.

    Parameters
    ----------
    text : str
        At least one character other than white space.
    model : str
        A local folder, or a name on the Hugging Face Hub, of a model with a language-model head.
        Code from a model repository is never run, and weights are read from safetensors only.
    new_tokens : int, optional
        The most tokens to write.
    max_tokens : int, optional
        The most tokens accepted, special and new ones included.
    progress : callable, optional
        Called with the fraction done, 0 to 1, and what happens now.

    Returns
    -------
    Trace
        Source "generation". Its tokens are those that the model read: the last one it wrote has
        no row, since nothing was asked after it. It can be known from the row before.

    Raises
    ------
    ValueError
        If the text is empty, too long for `max_tokens` or the model, or the model can't be loaded,
        has no tokenizer or can't generate.
    MissingDependencyError
        If a package is missing; the message says which command brings it.

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
    tell = progress or (lambda _fraction, _message: None)
    tell(0.0, f"Loading the model {model}")
    loaded = load_model(model, head=True)
    ids = loaded.tokenizer(text, return_tensors="pt", verbose=False)["input_ids"]
    count = int(ids.shape[1])
    own = loaded.model.config.is_encoder_decoder
    loaded.check_length(count if own else count + new_tokens, max_tokens)

    def step(done: int) -> None:
        tell(0.5 + 0.5 * done / new_tokens, f"Writing token {done} of {new_tokens}")

    trace, written = _written(loaded, ids, new_tokens, step)
    read, made = (names_of_ids(loaded.tokenizer, one[0].tolist()) for one in (ids, written[:, :-1]))
    trace.set_tokens([made], [read] if own else None)
    trace.source, trace.model = "generation", loaded.name
    tell(1.0, "Done")
    return trace


def _written(
    loaded: LoadedModel, ids: Tensor, new_tokens: int, step: Callable[[int], None]
) -> tuple[Trace, Tensor]:
    import torch
    import transformers

    own = loaded.model.generation_config
    # The model's own configuration may sample, search in beams or stop early: not here.
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

    def told(_ids: Tensor, _scores: Any) -> Tensor:
        nonlocal done
        done += 1
        step(done)
        return torch.zeros(1, dtype=torch.bool)

    # The base model: its layers are then named as without the head.
    with torch.inference_mode(), capture(loaded.model.base_model) as trace:
        try:
            written = loaded.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=config,
                stopping_criteria=transformers.StoppingCriteriaList([told]),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"model {loaded.name!r} must generate from text alone; it says: {error}"
            ) from error
    return trace, written
