"""Rows of token strings as people have them, and whether they fit the calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.attention.validation import as_list, check_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.trace.call import AttentionCall

Rows = tuple[tuple[str, ...], ...]


def token_rows(name: str, tokens: Any, calls: Sequence[AttentionCall]) -> Rows:
    """Return one row of token strings a sequence; a flat list is the row of the only one.

    Raises
    ------
    ValueError
        If they are no strings, or not as many rows as the calls have sequences.
    """
    if tokens is None:
        return ()
    if isinstance(tokens, str):
        raise ValueError(  # noqa: TRY004 - one error type for wrong input
            f"{name} must be a sequence of strings, one a token; got the text {tokens[:80]!r}"
        )
    items = as_list(name, tokens)
    if not items:
        return ()
    flat = [item for item in items if isinstance(item, str)]
    rows = [items] if flat else items
    for row in rows:
        is_row = hasattr(row, "__iter__") and getattr(row, "ndim", 1) > 0
        wrong = [item for item in (row if is_row else [row]) if not isinstance(item, str)]
        if wrong:
            raise ValueError(
                f"{name} must be strings, one a token; got {type(wrong[0]).__name__}. Ids become "
                "strings by tokenizer.convert_ids_to_tokens(ids)"
            )
    batch = max((call.batch for call in calls), default=len(rows))
    if len(rows) != batch:
        raise ValueError(f"{name} must have one row for each of {batch} sequences; got {len(rows)}")
    return tuple(tuple(str(token) for token in row) for row in rows)


def row_of(
    rows: Rows, call: AttentionCall, batch: int, calls: Sequence[AttentionCall]
) -> tuple[str, ...]:
    """Return the row that labels one sequence of a call's batch; () if that is not known.

    A layer that a model runs for one sequence after the other has a call each, with a row each. An
    encoder's call before a beam search has fewer sequences: each has as many equal rows as beams.
    """
    if call.batch >= len(rows):
        return rows[batch] if batch < len(rows) else ()
    same = [other for other in calls if (other.layer, other.kind) == (call.layer, call.kind)]
    if len(same) > 1 and sum(other.batch for other in same) == len(rows):
        at = 0
        for other in same:
            if other is call:
                return rows[at + batch]
            at += other.batch
    beams, rest = divmod(len(rows), call.batch)
    group = set(rows[batch * beams : (batch + 1) * beams])
    return group.pop() if rest == 0 and len(group) == 1 else ()


def check_token_lengths(
    calls: Sequence[AttentionCall], query_rows: Rows, key_rows: Rows | None
) -> None:
    """Raise ValueError if a call has other lengths than the tokens that should label it.

    A generation's calls may lack its last token, which the model never read.
    """
    for call in calls:
        for batch in range(call.batch):
            queries = len(query_rows[batch]) if query_rows else None
            keys = queries if key_rows is None else len(key_rows[batch]) if key_rows else None
            lengths = {length for length in (queries, keys) if length is not None}
            if call.kind == "cross":
                fits = queries in (None, call.query_len) and (
                    key_rows is None or keys in (None, call.key_len)
                )
            else:
                fits = not lengths or bool(lengths & {call.query_len, call.key_len})
            if not fits:
                given = f"{queries} tokens"
                if key_rows is not None:
                    given += f" and {keys} key_tokens"
                raise ValueError(
                    f"tokens must be one for each of {call.query_len} queries and {call.key_len} "
                    f"keys of layer {call.layer!r}; got {given}"
                )


def checked_rows(name: str, rows: Sequence[Sequence[str]]) -> Rows:
    """Return rows of token strings as tuples.

    Raises
    ------
    ValueError
        If there is text in place of a row, or a token is none.
    """
    given = [rows] if isinstance(rows, str) else as_list(name, rows)
    if any(isinstance(row, str) for row in given):
        raise ValueError(f"{name} must hold one sequence of tokens per batch entry; got text")
    checked = tuple(tuple(as_list(f"{name}[{b}]", row)) for b, row in enumerate(given))
    for b, row in enumerate(checked):
        for t, token in enumerate(row):
            check_text(f"{name}[{b}][{t}]", token)
    return checked


def labels_of(
    calls: Sequence[AttentionCall],
    query_tokens: tuple[tuple[str, ...], ...],
    key_tokens: tuple[tuple[str, ...], ...],
    call: AttentionCall,
    batch: int,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return labels for the queries and the keys of a call; see :meth:`Trace.tokens_of`."""
    query_row, key_row = (row_of(rows, call, batch, calls) for rows in (query_tokens, key_tokens))
    if call.kind == "self":
        fitting = {row for row in (query_row, key_row) if _covers(row, call)}
        sides = {"encoder": key_row, "decoder": query_row}
        named = [row for side, row in sides.items() if side in call.layer.split(".")]
        if len(fitting) == 2 and len(named) == 1:
            fitting = set(named)
        if len(fitting) == 1:
            row = fitting.pop()
            return row[call.q_offset :][: call.query_len], row[: call.key_len]
        if fitting:
            return _positions(call.query_len), _positions(call.key_len)
    return (
        query_row if len(query_row) == call.query_len else _positions(call.query_len),
        key_row if len(key_row) == call.key_len else _positions(call.key_len),
    )


def _covers(row: tuple[str, ...], call: AttentionCall) -> bool:
    if call.q_offset:
        return call.q_offset + call.query_len == call.key_len <= len(row)
    return len(row) == call.query_len == call.key_len


def _positions(length: int) -> tuple[str, ...]:
    return tuple(map(str, range(length)))
