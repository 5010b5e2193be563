"""Report with a small GPT-2 in the file that writes on, trained when it is built."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attnpanel.models.loading import LoadedModel
from attnpanel.models.prompts import trace_ids
from attnpanel.pages.explorer.report import save_report
from attnpanel.training.sample_text import SAMPLE_TEXT

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "Alice was beginning to "
NAME, END = "alice-letters", "<end>"
LIMIT, WIDTH, LAYERS, HEADS = 128, 96, 3, 4  # every position is trained
STEPS, BATCH, RATE = 300, 12, 3e-3
# What to try: the text and how it is written on, as the address has it.
SURE, LIVELY, LOST = "60,0,1,1", "60,0.8,10,2", "60,3,257,3"
STRANGE = "The tokens were "
NOTES = """
## Press *Write on*

The file holds a GPT-2 of {layers} layers of {heads} heads that reads letters, not words. When this report was made it was trained for {steps} steps on one page of *Alice's Adventures in Wonderland*, {letters:,} letters; its loss at the end was {loss:.2f} nats a letter, where guessing evenly among the page's {kinds} different letters would cost {even:.2f}. That is enough for words such as *the* and *to*, not for sentences.

[{prompt}… at temperature 0](#{sure}): always the likeliest letter. [At 0.8](#{lively}) one of ten is drawn, [at 3](#{lost}) one of all. The same seed writes the same text again; the address in the bar holds it.

**Each letter came from somewhere.** Click a written letter: the table shows what else might have come, the maps what the model looked at before it chose. In a word that it knows it is sure; where a word begins it is not.

[{strange}…](#{unknown}) begins as nothing on that page does. Does what it writes depend on that?

Questions. Which heads look at the letter before, whatever the text? After which letters is the model least sure? Knock out a head and let it write the same again: which letter is the first to differ?
"""


def build(path: Path, title: str) -> Path:
    """Train the model, on one core in a minute or less, and write the report."""
    return save(train(STEPS), path, title)


def save(trained: tuple[LoadedModel, float], path: Path, title: str) -> Path:
    """Write the report of a trained model and its last loss."""
    loaded, loss = trained
    trace = trace_ids(loaded, loaded.tokenizer(PROMPT)["input_ids"])
    text = notes(loss)
    return save_report(
        trace, path, title=title, notes=text, model=loaded, query_index=len(PROMPT) - 1
    )


def notes(loss: float) -> str:
    """Return the text for a model of this loss."""
    kinds = len(set(SAMPLE_TEXT.encode()))
    return NOTES.format(
        layers=LAYERS,
        heads=HEADS,
        steps=STEPS,
        letters=len(SAMPLE_TEXT),
        loss=loss,
        kinds=kinds,
        even=math.log(kinds),
        prompt=PROMPT.strip(),
        sure=link(PROMPT, SURE),
        lively=link(PROMPT, LIVELY),
        lost=link(PROMPT, LOST),
        strange=STRANGE.strip(),
        unknown=link(STRANGE, LIVELY),
    )


def link(text: str, write: str) -> str:
    """Return the address of a text that is written on."""
    return f"prompt={quote(text)}&write={write}"


def train(steps: int) -> tuple[LoadedModel, float]:
    """Train the model and return it with the mean loss of its last ten steps, in nats a letter."""
    import torch
    import transformers

    tokenizer = letters()
    ids = torch.tensor(tokenizer(SAMPLE_TEXT)["input_ids"])
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=LIMIT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        losses = []
        for _ in range(steps):
            starts = torch.randint(len(ids) - LIMIT, (BATCH,))
            batch = torch.stack([ids[start : start + LIMIT] for start in starts.tolist()])
            logits = model(batch).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
    last = losses[-10:]
    return LoadedModel(NAME, model.eval(), tokenizer), sum(last) / len(last)


def letters() -> Any:
    """Return a tokenizer of GPT-2's kind that joins nothing: each byte is a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([END, *alphabet])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([END])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=END, eos_token=END)
