"""The table of exercises, from the toy to training a model."""

from __future__ import annotations

from attnpanel.pages.exercises import checks
from attnpanel.pages.exercises.exercise import Exercise

SENTENCE = "The trophy does not fit in the brown suitcase because it is too large."

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "half",
        "Half for itself",
        "Choose the temperature at which token 2 gives half of its weight to itself.",
        "Why does one temperature do it in this head, and none in head 2?",
        "At temperature 1 token 2 keeps 85 %. Dividing the scores by more makes them more alike, "
        "and the weights with them.",
        start={"head": 1, "query_index": 2},
        check=checks.half_on_itself,
    ),
    Exercise(
        "even",
        "Nearly even",
        "By temperature alone, have the tokens share their weight among 7 of 8 tokens or more, on "
        "average.",
        "What becomes of the mixed colours, and what would a layer of such heads compute?",
        "The number is e to the entropy, which stands below All heads. Go up with the temperature.",
        start={"head": 0, "query_index": 5},
        check=checks.shared_by_all,
    ),
    Exercise(
        "causal",
        "No looking ahead",
        "Choose a mask under which t0 sees itself only, and the last token sees all.",
        "Under this mask, why does the temperature do nothing to the row of t0?",
        "It is the mask of every language model that writes from left to right.",
        start={"head": 0},
        check=checks.first_sees_itself_only,
    ),
    Exercise(
        "empty",
        "A row that sees nothing",
        "Bring about a token that may see no key at all. Then try the three policies.",
        "Which of the three would you want in training, and what does each do to the loss?",
        "A padding mask hides rows and columns from the pad length on.",
        start={"head": 0},
        check=checks.some_row_is_empty,
    ),
    Exercise(
        "previous",
        "The previous-token head",
        "Find the head of MiniLM in which every token looks at the one before it.",
        "What could a later layer do with a head that copies the token before?",
        "Its picture is a line just below the diagonal, easily seen among All heads.",
        prompt=SENTENCE,
        start={"layer": 3, "head": 1, "query_index": 11},
        check=checks.looks_one_back,
    ),
    Exercise(
        "next",
        "Looking ahead",
        "Find the head in which tokens look at the one after them.",
        "Why can no head of a language model such as GPT-2 do so?",
        "Its picture is a line just above the diagonal. It is in the second layer.",
        prompt=SENTENCE,
        start={"layer": 3, "head": 1, "query_index": 11},
        check=checks.looks_one_ahead,
    ),
    Exercise(
        "sink",
        "The attention sink",
        "Find a head that gives three quarters of its weight or more to “[CLS]”.",
        "“[CLS]” says little about the other tokens. What may such a head be waiting for?",
        "Its first column is dark and all else is pale. There is more than one.",
        prompt=SENTENCE,
        start={"layer": 0, "head": 0, "query_index": 11},
        check=checks.looks_at_the_first,
    ),
    Exercise(
        "pronoun",
        "What “it” stands for",
        "Find a head in which “it” gives “trophy” 40 % of its weight or more, and no other more.",
        "Does this head know what “it” means? Say which change of the sentence would tell.",
        "Choose “it”, then go through the layers from the third on.",
        prompt=SENTENCE,
        start={"layer": 0, "head": 0, "query_index": 11},
        check=checks.it_finds_the_trophy,
    ),
    Exercise(
        "two-prompts",
        "Two prompts, two patterns",
        "Find two prompts that elicit different attention patterns, and explain why they do.",
        "Which layer and head show it, which weights change by how much, and why? Name both "
        "prompts, and paste the comparison's link.",
        "Change one word that others depend on. The list of heads there shows where it matters.",
        elsewhere="compare",
    ),
    Exercise(
        "training",
        "Heads, width and what is learned",
        "Train a tiny transformer with another number of heads, then with another d_model, and "
        "compare the curves of loss.",
        "Which settings did you train, where did each loss end, and what follows? Say which number "
        "you changed alone, and what you kept.",
        "Change one number at a time and keep the seed, or you compare luck.",
        elsewhere="lab",
    ),
)
