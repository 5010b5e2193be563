"""Sentences on which a model in a file is compared with PyTorch."""

SENTENCES = (
    "The trophy does not fit in the brown suitcase because it is too large.",
    "The animal didn't cross the street because it was too tired.",
    "Time flies like an arrow; fruit flies like a banana.",
    "In 1905, Albert Einstein published four papers that changed physics forever.",
    "She sells sea shells by the sea shore, doesn't she?",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "La vie est belle, mais l'hiver à Montréal est très long.",
    "我爱北京天安门,天安门上太阳升。",
    "Attention is all you need: query, key and value.",
    "def attend(q, k, v): return softmax(q @ k.T / sqrt(d)) @ v",
    "Colorless green ideas sleep furiously.",
    "The old man the boat while the horse raced past the barn fell.",
    "I can't believe it's not butter!!! 😀😀",
    "Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo.",
    "A B C D E F G A B C D E F G",
    "The quick brown fox jumps over the lazy dog.",
    "If two roads diverge in a yellow wood, take the one less traveled by.",
    "Numbers: 3.14159, 2.71828, 1.61803, 42, 1000000 and -273.15 °C.",
    "Whether 'tis nobler in the mind to suffer the slings and arrows of outrageous fortune",
    "Transformers process all tokens of a sequence in parallel, which made training feasible.",
)
WORDS = (
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "big",
    "red",
    "birds",
    "old",
    "trees",
    "rain",
    "town",
)


def text_of(tokens: int, start: int = 0) -> str:
    """Return a text that MiniLM reads as so many tokens, [CLS] and [SEP] included."""
    return " ".join(WORDS[(start + 7 * i) % len(WORDS)] for i in range(tokens - 2))
