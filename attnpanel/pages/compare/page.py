"""The page that compares two prompts, models, heads, temperatures or masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.comparison import READY
from attnpanel.models.intervene.output_change import describe_output
from attnpanel.models.intervention_spec import InterventionSpec, parse_intervention
from attnpanel.models.toy import toy_trace
from attnpanel.pages.compare.comparison import Comparison
from attnpanel.pages.compare.report import save_comparison
from attnpanel.pages.explorer.intervention_form import InterventionForm
from attnpanel.pages.limits import RateLimit
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.trace.computable import check_computable
from attnpanel.ui import Caption, CopyLink, Download, Explanation, MoreButton, ThemeButton
from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.deferred_file import DeferredFile
from attnpanel.ui.fields import field
from attnpanel.ui.header import brand, start_page
from attnpanel.ui.layout import box, caption
from attnpanel.ui.theme import stylesheet
from attnpanel.ui.words import current_language, linked_language, t

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.comparison import Ready
    from attnpanel.models.intervene.output_change import OutputChange
    from attnpanel.trace import Trace

OWN_PROMPTS = "Prompts of your own"
QUESTION = "What differs between A and B, and why?"
SIDES = ("a", "b")
BY_NAME = {ready.name: ready for ready in READY}


@dataclass(frozen=True)
class _ComparisonRequest:
    """What is compared: source and text of each side; the form's fields may change meanwhile."""

    ready: Ready | None
    sides: Mapping[str, tuple[Any, str]]
    change: InterventionSpec

    def address(self, models: int) -> dict[str, str]:
        """Return the query parameters that repeat it, on a server with `models` models."""
        if self.ready:
            return {"ready": self.ready.name}
        texts = {side: text for side, (_, text) in self.sides.items()}
        sources = {f"from_{side}": str(source) for side, (source, _) in self.sides.items()}
        if models > 1 or len(set(sources.values())) > 1:
            texts |= sources
        return texts | ({"change": self.change.to_text()} if self.change else {})


class ComparePage:
    """The comparing page of one session.

    Parameters
    ----------
    settings : ServerSettings
    link : mapping of str to str
        Query parameters of the URL: what is compared. The browser reads the choices in it.
    """

    def __init__(self, settings: ServerSettings, link: Mapping[str, str]) -> None:
        self._settings = settings
        self._work = LatestTask("attnpanel-compare", "comparison", settings.prompts.pool)
        self._rate = RateLimit(max(1, settings.max_prompts // 2), "comparisons")
        self._opening = False
        self._notice = Caption(visible=False, margin=0, sizing_mode="stretch_width")
        labels = [*(ready.label for ready in READY), OWN_PROMPTS]
        self._ready = _select(
            t("Comparison"), {t(label): label for label in labels}, css="attn-ready"
        )
        sources = [*settings.models, *settings.traces]
        self._sources = {
            side: _select(
                t("Model or file of {side}", side=side.upper()), sources, css="attn-model"
            )
            for side in SIDES
        }
        self._texts = {side: self._text(side) for side in SIDES}
        for source in self._sources.values():
            source.visible = len(sources) > 1
        self._change = InterventionForm("B's attention", "Compare")
        self._problems: list[str] = []
        self._run = pn.widgets.Button(
            label=t("Compare"),
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-button", "attn-primary"],
        )
        # On a narrow page, where the button and what else is changed in B are folded away.
        self._unfold = MoreButton(
            label="⋯", tooltip=t("Compare other texts"), margin=0, css_classes=["attn-unfold"]
        )
        self._report = Download(
            self._make_report, label=t("Download report"), filename="comparison.html", margin=0
        )
        self._question, self._outcome = (caption("attn-question") for _ in range(2))
        self._outcome.visible = False
        self.words = Explanation(
            label=t("Your explanation"),
            placeholder=t("In your own words. It goes into the report."),
            margin=0,
            sizing_mode="stretch_width",
            css_classes=["attn-explanation"],
        )
        # Two heads of the toy: hidden until the prompts have been run, shown if that fails.
        toy = toy_trace()
        self.comparison = Comparison(toy, toy, head=(0, 1), served=True, whole_page=True)
        self.comparison.body.visible = False
        # A sketch of the cards where the plots will be.
        self._wait = box(box(css="attn-explorer-body attn-waiting attn-sketch"), css="attn-plots")
        self.view = self._lay_out()
        self._open_link(link)
        self._ready.param.watch(lambda _event: self._choose(), "value")
        self._run.on_click(lambda _event: self._compare_own())
        for text in self._texts.values():
            text.param.watch(lambda _event: self._compare_own(), "enter_pressed")

    def _text(self, side: str) -> Any:
        return pn.widgets.TextInput(
            label=side.upper(),
            placeholder=t("Type a sentence"),
            max_length=self._settings.max_characters,
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-prompt", f"attn-prompt-{side}"],
        )

    def _lay_out(self) -> Any:
        header = box(
            brand("compare"),
            self._ready,
            CopyLink(margin=0),
            self._report,
            ThemeButton(explorer_id=self.comparison.explorer_id, driver="browser", margin=0),
            css="attn-header",
        )
        prompts = box(
            *(_row(self._sources[side], self._texts[side]) for side in SIDES),
            self._unfold,
            self._run,
            box(self._change.row, css="attn-prompts-below"),
            css="attn-card attn-prompts",
        )
        self.comparison.side.append(
            box(
                Caption(text=t("Explain"), heading=True, margin=0),
                self._outcome,
                self._question,
                self.words,
                css="attn-card",
            )
        )
        layout = self.comparison.__panel__()
        layout.insert(1, header)
        layout.insert(2, self._notice)
        layout.insert(3, box(prompts, css="attn-above"))
        layout.insert(4, self._wait)
        return layout

    def _open_link(self, link: Mapping[str, str]) -> None:
        """Open the comparison that the URL names; by default the first ready one."""
        ready = BY_NAME.get(link.get("ready", ""))
        lacking = [side for side in SIDES if not link.get(side, "").strip()]
        if ready is None and not lacking:
            self._ready.value = OWN_PROMPTS
            for side in SIDES:
                self._texts[side].value = link[side][: self._settings.max_characters]
                if link.get(f"from_{side}") in self._sources[side].options:
                    self._sources[side].value = link[f"from_{side}"]
            self._problems = self._change.restore(link)
            self._compare_own()
        else:
            if ready is None and len(lacking) == 1:
                self._problems = [t("It has no text {side}.", side=lacking[0].upper())]
            self._ready.value = (ready or READY[0]).label
            self._choose()

    def _choose(self) -> None:
        """Run the comparison chosen from the list."""
        chosen = next((ready for ready in READY if ready.label == self._ready.value), None)
        if self._opening:
            return
        if chosen is None:
            self._question.text = t(QUESTION)
            self._unfold.opened = True
            return
        for side, text in zip(SIDES, (chosen.first, chosen.second), strict=True):
            self._texts[side].value = text
            self._sources[side].value = self._settings.models[0]
        change = parse_intervention(chosen.change)
        self._change.choose(change)
        self._compare(chosen, change)

    def _compare_own(self) -> None:
        """Run the comparison in the form's fields."""
        try:
            change = self._change.chosen()
        except ValueError as error:
            self._notify("error", f"{str(error).capitalize()}.")
            return
        chosen = next((ready for ready in READY if self._is_unchanged(ready, change)), None)
        if chosen is None:
            self._opening = True
            self._ready.value = OWN_PROMPTS
            self._opening = False
        self._compare(chosen, change)

    def _is_unchanged(self, ready: Ready, change: InterventionSpec) -> bool:
        """Return whether the fields still hold the comparison chosen from the list."""
        sides = zip(SIDES, (ready.first, ready.second), strict=True)
        return (
            ready.label == self._ready.value
            and change == parse_intervention(ready.change)
            and all(
                self._text_of(side) == text
                and self._sources[side].value == self._settings.models[0]
                for side, text in sides
            )
        )

    def _text_of(self, side: str) -> str:
        text = self._texts[side]
        return str(text.value_input or text.value or "")

    def _compare(self, ready: Ready | None, change: InterventionSpec) -> None:
        sides = {side: (self._sources[side].value, self._text_of(side)) for side in SIDES}
        for side, (source, text) in sides.items():
            if source not in self._settings.traces and not text.strip():
                self._notify("error", t("Type a sentence for {side} first.", side=side.upper()))
                return
        if change and sides["b"][0] in self._settings.traces:
            text = t("Attention in a file can't be changed: choose a model for B.")
            self._notify("error", text)
            return
        refusal = self._rate.refusal()
        if refusal is not None:
            self._notify("error", refusal)
            return
        self._run.loading = True
        self._notify("busy", t("Reading both sides …"))
        request = _ComparisonRequest(ready, sides, change)
        self._work.start(
            lambda on_progress: _checked(self._trace_both(request, on_progress)),
            on_done=lambda traces: self._show(request, *traces),
            on_error=self._on_error,
            on_progress=lambda text: self._notify("busy", text),
        )

    def _trace_both(
        self, request: _ComparisonRequest, on_progress: Callable[[str], None]
    ) -> tuple[Trace, Trace, OutputChange | None]:
        """Return both traces; also the output's change if A is B without the intervention."""
        runs = self._settings.prompts
        trace_prompt, change_prompt = runs.trace_prompt, runs.change_prompt
        a, b = (request.sides[side] for side in SIDES)
        if not request.change:
            first = self._trace(trace_prompt, *a, on_progress)
            return first, first if a == b else self._trace(trace_prompt, *b, on_progress), None
        change = partial(change_prompt, **request.change.arguments())
        changed = self._trace(change, *b, on_progress)
        if a == b:
            return changed.before, changed.after, changed.output
        return self._trace(trace_prompt, *a, on_progress), changed.after, None

    def _trace(
        self, run: Callable[..., Any], source: Any, text: str, on_progress: Callable[[str], None]
    ) -> Any:
        """Return a side's trace file, or the result of `run` for its prompt and model."""
        if source in self._settings.traces:
            return self._settings.traces[source]
        if len(text) > self._settings.max_characters:
            raise ValueError(
                t(
                    "a prompt may have {limit} characters",
                    limit=f"{self._settings.max_characters:,}",
                )
            )
        return run(
            text,
            model=source,
            max_tokens=self._settings.max_tokens,
            progress=lambda _fraction, message: on_progress(message),
        )

    def _show(
        self, request: _ComparisonRequest, first: Trace, second: Trace, output: OutputChange | None
    ) -> None:
        self._run.loading = False
        ready, tokens = request.ready, second.tokens_of(second.calls[0])[0]
        changed = request.change.describe(tokens, say=t)
        address = request.address(len(self._settings.models)) | linked_language()
        try:
            self.comparison.show(
                first,
                second,
                query_index=_index_of(ready, first),
                choices=ready.choices if ready else None,
                address=address,
                changed=changed,
            )
        except ValueError as error:
            self._notify("error", t("These can't be compared: {reason}.", reason=error))
            return
        self._change.fit(second)
        self._change.settle(request.change)
        self._question.text = t(ready.question if ready else QUESTION)
        text = describe_output(output, tokens, say=t) if output else ""
        self._outcome.param.update(text=text, visible=bool(text))
        self.words.subject = "&".join(f"{name}={text}" for name, text in address.items())
        self._notice.visible = self._unfold.opened = False
        self._show_body()
        if self._problems:
            problems = " ".join(self._problems)
            self._notify("error", t("Not restored from the link. {problem}", problem=problems))
            self._problems = []

    def _on_error(self, sentence: str) -> None:
        self._run.loading, self._unfold.opened = False, True
        if self.comparison.body.visible:
            self._notify("error", f"{sentence} {t('What was shown before is still here.')}")
        else:
            self._question.text = t(QUESTION)
            toy = t("Below are two heads of the toy, which needs no model.")
            self._notify("error", f"{sentence} {toy}")
            self._show_body()

    def _show_body(self) -> None:
        self._wait.visible, self.comparison.body.visible = False, True

    def _notify(self, tone: str, text: str) -> None:
        self._notice.param.update(text=text, tone=tone, visible=True)

    def _make_report(self) -> DeferredFile:
        """Return comparison and explanation as one HTML file, made in a thread."""
        write = partial(
            save_comparison,
            *self.comparison.traces,
            title=t(str(self._ready.value)),
            question=self._question.text,
            words=self.words.text,
            outcome=self._outcome.text,
            changed=self.comparison.changed,
            start=self.comparison.state,
            language=current_language(),
        )

        def fail(reason: str) -> None:
            self._notify("error", t("The report can't be made. {reason}", reason=reason))

        return DeferredFile(write, fail)


def compare_page(settings: ServerSettings | None = None) -> Any:
    """Return the comparing page for a new session, opened at its URL's parameters.

    Parameters
    ----------
    settings : ServerSettings, optional
        By default MiniLM.
    """
    return ComparePage(settings or ServerSettings(), start_page()).view


def _checked(
    traced: tuple[Trace, Trace, OutputChange | None],
) -> tuple[Trace, Trace, OutputChange | None]:
    """Check that both traces can be shown, in a thread: the page asks again, and hears at once."""
    for trace in traced[:2]:
        check_computable(trace)
    return traced


def _index_of(ready: Ready | None, trace: Trace) -> int | None:
    """Return the index of the ready comparison's token; None opens the most changed one."""
    tokens = trace.tokens_of(trace.calls[0])[0]
    return tokens.index(ready.token) if ready and ready.token in tokens else None


def _select(label: str, options: list[str] | dict[str, str], *, css: str) -> Any:
    return field(pn.widgets.Select, label, seen=False, options=options, css=[css])


def _row(*widgets: Any) -> Any:
    style = {"css_classes": ["attn-source"], "stylesheets": [stylesheet()], "margin": 0}
    return pn.Row(*widgets, sizing_mode="stretch_width", **style)
