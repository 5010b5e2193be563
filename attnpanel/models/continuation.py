"""Write a text on with a language model, token by token, as js/live_model does in a file."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.progress import no_progress
from attnpanel.models.intervene.intervene import intervene
from attnpanel.models.loading import load_model
from attnpanel.models.prompts import (
    Prompt,
    changed_run,
    check_prompt,
    load_for_output,
    predicts,
    run_prompt,
    tokenize,
    with_module,
)
from attnpanel.models.tokens import names_of_ids
from attnpanel.trace.token_origins import TokenOrigins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from attnpanel.models.loading import LoadedModel
    from attnpanel.models.prompts import PromptChange
    from attnpanel.trace import Trace

# The bounds of js/live_model/next_token.js and js/components/writing_panel.js.
MAX_WRITTEN = 500
MAX_TEMPERATURE = 10.0
MAX_SEED = 2**32 - 1
MAX_CANDIDATES = 8


@dataclass(frozen=True)
class WritingChoices:
    """How a text is written on.

    Attributes
    ----------
    count : int
        The most tokens to write.
    temperature : float
        What the logarithms of the probabilities are divided by; 0 takes the likeliest token.
    top_k : int
        How many of the likeliest tokens one is drawn from.
    seed : int
        Of the random numbers; the same seed writes the same text.

    Raises
    ------
    ValueError
        If a number is out of its bounds.

    Examples
    --------
    >>> choices = WritingChoices(40, 0.8, 40, 1)
    >>> choices.to_text()
    '40,0.8,40,1'
    >>> WritingChoices.parse("40,0.8,40,1") == choices
    True
    """

    count: int
    temperature: float
    top_k: int
    seed: int

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, low, high in (
            ("count", 1, MAX_WRITTEN),
            ("temperature", 0, MAX_TEMPERATURE),
            ("top_k", 1, math.inf),
            ("seed", 0, MAX_SEED),
        ):
            number = getattr(self, name)
            whole = name == "temperature" or number == int(number)
            if not (low <= number <= high and whole):
                kind = "a number" if name == "temperature" else "an integer"
                bounds = f"at least {low}" if high == math.inf else f"from {low} to {high:.0f}"
                raise ValueError(f"{name} must be {kind} {bounds}; got {number!r}")

    def to_text(self) -> str:
        """Return the choices as a link has them."""
        return ",".join(f"{getattr(self, field.name):.15g}" for field in fields(self))

    @classmethod
    def parse(cls, text: str) -> WritingChoices:
        """Parse what :meth:`to_text` wrote, as from a link.

        Raises
        ------
        ValueError
            If it is not four numbers, or one is out of its bounds.
        """
        try:
            count, temperature, top_k, seed = text[:100].split(",")
            numbers = int(count), float(temperature), int(top_k), int(seed)
        except ValueError:
            rule = "count, temperature, top-k and seed, such as 40,0.8,40,1"
            raise ValueError(f"write must be {rule}; got {text[:40]!r}") from None
        return cls(*numbers)


@dataclass(frozen=True)
class Candidate:
    """A likely next token: its name, its probability, and whether it was drawn."""

    name: str
    chance: float
    drawn: bool


@dataclass(frozen=True)
class WrittenToken:
    """A token as it is written, with the likeliest ones at its place.

    Attributes
    ----------
    token : str
    candidates : tuple of Candidate
        The likeliest ones, likeliest first, and the drawn one.
    prompt : int
        Number of tokens of the text that is continued.
    """

    token: str
    candidates: tuple[Candidate, ...]
    prompt: int


@dataclass(frozen=True, eq=False)
class WrittenText:
    """A text that was written on, and its attention.

    Attributes
    ----------
    trace : Trace
        Of the text with all that was written.
    change : PromptChange or None
        The attention of the same tokens without and with an intervention, if there was one.
    written : tuple of WrittenToken
    ended : bool
        Whether the model ended the text.
    """

    trace: Trace
    change: PromptChange | None
    written: tuple[WrittenToken, ...]
    ended: bool


@dataclass(frozen=True)
class Writer:
    """A model that writes on: its name, how many tokens it chooses from, and the most it reads."""

    name: str
    next_tokens: int
    limit: int


def writer_of(model: str, max_tokens: int) -> Writer | None:
    """Return what is to be known of a model that writes on; None if it does not predict tokens."""
    loaded = load_model(model)
    tokens = getattr(loaded.model.config.get_text_config(), "vocab_size", None)
    return (
        Writer(loaded.name, tokens, _limit(loaded, max_tokens))
        if tokens and predicts(loaded)
        else None
    )


def write_prompt(
    text: str,
    model: str,
    choices: WritingChoices,
    *,
    max_tokens: int = 2048,
    change: Mapping[str, Any] | None = None,
    on_token: Callable[[WrittenToken], None],
    stopped: Callable[[], bool],
    outputs: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> WrittenText:
    """Write a text on, and record the attention of all of it.

    Keys and values are kept, so that each token costs one row; the attention that is recorded is
    of one pass over all tokens.

    Parameters
    ----------
    text, model, max_tokens, outputs, progress
        As for :func:`attnpanel.trace_prompt`.
    choices : WritingChoices
    change : mapping, optional
        An intervention as for :func:`attnpanel.models.prompts.change_prompt`, under which the
        text is written.
    on_token : callable
        Gets each token as it is drawn.
    stopped : callable
        Whether the text is to end.

    Raises
    ------
    ValueError
        As for :func:`attnpanel.trace_prompt`, or if the model was not trained to predict the next
        token, or `top_k` is more than its tokens.
    """
    on_progress = progress or no_progress
    check_prompt(text, max_tokens)
    on_progress(0.0, f"Loading the model {model}")
    loaded = load_for_output(model)
    if not predicts(loaded):
        raise ValueError(
            f"a model must have been trained to predict the next token to write on; "
            f"{loaded.name!r} was not"
        )
    prompt = tokenize(loaded, text, max_tokens, on_progress)
    ids = prompt.inputs["input_ids"][0].tolist()
    count = len(ids)
    intervention: Any = nullcontext()
    if change:
        change = with_module(change, run_prompt(prompt)[0])
        intervention = intervene(loaded.model.base_model, **change)
    written: list[WrittenToken] = []
    with intervention:
        for token, likely in continuation(loaded, ids, choices, _limit(loaded, max_tokens)):
            ids.append(token)
            written.append(_named(loaded, token, likely, count))
            on_token(written[-1])
            if stopped():
                break
    on_progress(0.9, f"Running {len(ids)} tokens")
    whole = _whole(prompt, ids)
    ended = bool(written) and ids[-1] in loaded.ends
    if change:
        changed = changed_run(whole, change, on_progress, outputs=outputs)
        return WrittenText(changed.after, changed, tuple(written), ended)
    return WrittenText(run_prompt(whole, outputs=outputs)[0], None, tuple(written), ended)


def continuation(
    loaded: LoadedModel, ids: Sequence[int], choices: WritingChoices, limit: int
) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    """Yield each token that is drawn, and the likeliest ones and it with their probabilities.

    The reference of ``continuation`` in js/live_model/continuation.js.
    """
    numbers = random_numbers(choices.seed)
    unread, past = list(ids), None
    for _ in range(min(choices.count, limit - len(ids))):
        logits, past = _read(loaded, unread, past)
        logs = log_probabilities(logits)
        if choices.top_k > len(logs):
            raise ValueError(f"top_k must be at most {len(logs)}; got {choices.top_k}")
        likely = np.argsort(-logs, kind="stable")
        token = draw_token(logs, likely[: choices.top_k], choices.temperature, next(numbers))
        shown = likely[:MAX_CANDIDATES].tolist()
        shown += [] if token in shown else [token]
        yield token, [(each, math.exp(logs[each])) for each in shown]
        if token in loaded.ends:
            return
        unread = [token]


def log_probabilities(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the natural logarithms of a softmax.

    Raises
    ------
    ValueError
        If a score is not finite or -inf.
    """
    logs = logits.astype(np.float64)
    highest = logs.max()
    if not np.isfinite(highest):
        raise ValueError(
            f"a model's scores of next tokens must be finite; the largest is {highest}"
        )
    return np.asarray(logs - (highest + np.log(np.exp(logs - highest).sum())))


def draw_token(
    logs: NDArray[np.float64], candidates: NDArray[np.intp], temperature: float, number: float
) -> int:
    """Draw one of some candidates, the likeliest of which comes first.

    Parameters
    ----------
    logs : float array of shape (V,)
        Logarithms of the probabilities of all tokens.
    candidates : int array of shape (k,)
    temperature : float
        0 draws the first.
    number : float
        From 0 to 1, without 1.
    """
    if temperature == 0:
        return int(candidates[0])
    with np.errstate(over="ignore"):  # a low temperature gives -inf, and no share
        shares = np.exp((logs[candidates] - logs[candidates[0]]) / temperature)
    below = np.cumsum(shares)
    at = int(np.searchsorted(below, number * below[-1], side="right"))
    return int(candidates[min(at, len(candidates) - 1)])


def random_numbers(seed: int) -> Iterator[float]:
    """Yield numbers from 0 to 1, without 1: Mulberry32, by Tommy Ettinger.

    Examples
    --------
    >>> next(random_numbers(1))
    0.6270739405881613
    """
    state = seed
    while True:
        state = (state + 0x6D2B79F5) & MAX_SEED
        mixed = ((state ^ (state >> 15)) * (state | 1)) & MAX_SEED
        mixed ^= (mixed + ((mixed ^ (mixed >> 7)) * (mixed | 61) & MAX_SEED)) & MAX_SEED
        yield (mixed ^ (mixed >> 14)) / 2**32


def _limit(loaded: LoadedModel, max_tokens: int) -> int:
    return min(loaded.position_limit or max_tokens, max_tokens)


def _read(
    loaded: LoadedModel, ids: Sequence[int], past: Any
) -> tuple[NDArray[np.floating[Any]], Any]:
    """Have a model read more tokens; return the scores of the next one, and what it keeps."""
    import torch

    with torch.inference_mode():
        outputs = loaded.model(
            input_ids=torch.tensor([list(ids)]), past_key_values=past, use_cache=True
        )
    kept = getattr(outputs, "past_key_values", None)
    if kept is None:
        raise ValueError(f"a model must keep keys and values to write on; {loaded.name!r} does not")
    return outputs.logits[0, -1].float().numpy(), kept


def _named(
    loaded: LoadedModel, token: int, likely: Sequence[tuple[int, float]], prompt: int
) -> WrittenToken:
    names = names_of_ids(loaded.tokenizer, [each for each, _ in likely])
    candidates = tuple(
        Candidate(name, chance, each == token)
        for name, (each, chance) in zip(names, likely, strict=True)
    )
    return WrittenToken(next(one.name for one in candidates if one.drawn), candidates, prompt)


def _whole(prompt: Prompt, ids: Sequence[int]) -> Prompt:
    """Return a prompt with what was written after it."""
    import torch

    origins = prompt.origins
    if origins is not None:
        written = ("",) * (len(ids) - len(origins.texts[0]))
        origins = TokenOrigins((origins.texts[0] + written,), origins.unknown)
    names = names_of_ids(prompt.loaded.tokenizer, ids)
    return Prompt(prompt.loaded, {"input_ids": torch.tensor([list(ids)])}, [names], origins)
