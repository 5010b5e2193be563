"""A model in a report: what goes into the file beside the explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.models.live_model import prompt_of, store_model
from attnpanel.models.loading import LoadedModel
from attnpanel.models.prompts import load_for_output
from attnpanel.ui.layout import box
from attnpanel.ui.live_model_component import PromptBox, PromptPair

if TYPE_CHECKING:
    from attnpanel.models.live_model import StoredModel
    from attnpanel.trace import Trace


def stored_model(
    model: bool | str | LoadedModel,  # noqa: FBT001 - True stands for the trace's own
    trace: Trace,
    **left_out: Any,
) -> StoredModel | None:
    """Return the model that a report is to hold, if any.

    Parameters
    ----------
    model : bool, str or LoadedModel
        As for :func:`attnpanel.save_report`.
    trace : Trace
        The report's.
    **left_out
        What the report was told to leave out, by the name of the option; must all be None.

    Raises
    ------
    ValueError
        As for :func:`attnpanel.models.live_model.store_model`, or if something is left out.
    """
    if model is False:
        return None
    for name, given in left_out.items():
        if given is not None:
            raise ValueError(
                f"a report with a model must hold everything the model computes: {name} can't be "
                f"chosen; got {given!r}"
            )
    return store_model(_loaded(model, trace), trace)


def stored_for_two(
    model: bool | str | LoadedModel,  # noqa: FBT001 - True stands for the first trace's own
    first: Trace,
    second: Trace,
) -> tuple[StoredModel, list[str]] | None:
    """Return the model that a comparison is to hold, if any, and the texts of its traces.

    Parameters
    ----------
    model : bool, str or LoadedModel
        As for :func:`attnpanel.save_report`.
    first, second : Trace

    Raises
    ------
    ValueError
        As for :func:`attnpanel.models.live_model.store_model`, of both traces.
    """
    if model is False:
        return None
    loaded = _loaded(model, first)
    stored = store_model(loaded, first)
    return stored, [stored.description["prompt"], prompt_of(loaded, second)]


def _loaded(model: bool | str | LoadedModel, trace: Trace) -> LoadedModel:  # noqa: FBT001 - as above
    if model is True:
        if not trace.model:
            raise ValueError(
                "model=True needs a trace that names its model; give a name or a folder: "
                "model='minilm'"
            )
        return _own_model(trace)
    assert not isinstance(model, bool)  # noqa: S101 - False holds no model
    return model if isinstance(model, LoadedModel) else load_for_output(model)


def _own_model(trace: Trace) -> LoadedModel:
    """Return the model that computed a trace, which names a folder by its last part only."""
    if trace.model_location:
        return load_for_output(trace.model_location)
    try:
        return load_for_output(trace.model)
    except ValueError as error:
        raise ValueError(
            f"model=True knows of this trace's model only its name: {error}; if it is in a folder, "
            f"pass that: model='path/to/{trace.model}'"
        ) from error


def prompt_card(stored: StoredModel, explorer_id: str) -> Any:
    """Return the card in which a reader types a text."""
    about = stored.description
    options = {"prompt": about["prompt"], "next_tokens": about["nextTokens"]}
    return _card(PromptBox, "attn-prompt-box", stored, explorer_id, **options)


def prompts_card(stored: StoredModel, prompts: list[str], explorer_id: str) -> Any:
    """Return the card in which a reader types two texts to compare."""
    return _card(PromptPair, "attn-prompt-pair", stored, explorer_id, prompts=prompts)


def _card(component: Any, css: str, stored: StoredModel, explorer_id: str, **options: Any) -> Any:
    typing = component(
        explorer_id=explorer_id,
        driver="browser",
        name_of_model=stored.description["name"],
        about=stored.sentence,
        limit=stored.description["limit"],
        sizing_mode="stretch_width",
        margin=0,
        css_classes=[css],
        **options,
    )
    return box(box(typing, css="attn-card"), css="attn-above attn-prompt-card")
