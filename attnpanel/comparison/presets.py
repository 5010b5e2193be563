"""Preset comparisons: prompts whose attention on MiniLM differs, each with a question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TROPHY = "The trophy does not fit in the brown suitcase because it is too large."


@dataclass(frozen=True)
class Ready:
    """A preset comparison.

    Attributes
    ----------
    name : str
        Its name in links.
    label : str
        Its label in the menu.
    first, second : str
        The two prompts.
    token : str
        The query to show: its first occurrence in the first prompt.
    question : str
        What the reader is asked to explain.
    choices : mapping
        Choices beyond the token. Without a head, the head in which the token's row changes most is
        chosen.
    change : str
        The intervention on the second prompt, as in a link; none by default.
    """

    name: str
    label: str
    first: str
    second: str
    token: str
    question: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    change: str = ""


READY: tuple[Ready, ...] = (
    Ready(
        "he-she",
        "He or she: whom does it stand for?",
        "The old man told the woman that he was tired.",
        "The old man told the woman that she was tired.",
        "he",
        "One word is exchanged. Where does its attention go in each sentence, and what must the "
        "head have learned to go there?",
    ),
    Ready(
        "nurse",
        "He or she: doctor or nurse?",
        "The doctor asked the nurse because she was busy.",
        "The doctor asked the nurse because he was busy.",
        "she",
        "Grammar leaves open who was busy, in both. What decides where the pronoun looks?",
    ),
    Ready(
        "bank",
        "Bank of a river, bank with money",
        "She sat on the bank of the river.",
        "She sat in the bank with her money.",
        "bank",
        "The same word means two things. Which tokens does the head read to tell them apart, and "
        "what does it do where they are missing?",
    ),
    Ready(
        "not",
        "Good, not good",
        "The movie was good.",
        "The movie was not good.",
        "good",
        "Does the head that changes most know what “not” means, or would any word do in its place?",
    ),
    Ready(
        "chase",
        "Who chases whom",
        "The dog chased the cat.",
        "The cat chased the dog.",
        "chased",
        "Both sentences have the same words. How can attention differ at all?",
    ),
    Ready(
        "trophy",
        "Too large, too small",
        TROPHY,
        TROPHY.replace("large", "small"),
        "it",
        "The last word turns what “it” stands for. Does any head turn with it?",
    ),
    Ready(
        "heads",
        "Two heads, one sentence",
        TROPHY,
        TROPHY,
        "it",
        "The same words, read by two heads. Say in a sentence what each of them looks for.",
        {"layer": (3, 0), "head": (1, 2)},
    ),
    Ready(
        "temperatures",
        "Two temperatures, one head",
        TROPHY,
        TROPHY,
        "it",
        "Scores are the same, weights are not. Which tokens win when it gets colder, and why?",
        {"layer": (3, 3), "head": (1, 1), "temperature": (1.0, 0.5)},
    ),
    Ready(
        "masks",
        "Two masks, one head",
        TROPHY,
        TROPHY,
        "it",
        "Under the causal mask “it” sees nothing behind itself. Where does that weight go?",
        {"layer": (3, 3), "head": (1, 1), "mask": ("model", "causal")},
    ),
    Ready(
        "switched-off",
        "Before and after: a head switched off",
        TROPHY,
        TROPHY,
        "it",
        "In B the first layer's head 2, which copies the token before, adds nothing. Which heads "
        "of later layers look elsewhere now, and what did they use it for?",
        change="out,0,2",
    ),
)
