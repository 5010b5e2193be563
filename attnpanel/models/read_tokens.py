"""The tokens that a model reads while it is captured, by its own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from attnpanel.models.tokens import names_of_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from attnpanel.trace import AttentionCall, Trace

    # The steps that a capture has merged: their T, and which rows of the batch the sequences had.
    Steps = list[tuple[int, NDArray[Any]]]

ENCODER, ONLY, DECODER = "encoder", "only", "decoder"


class ReadIds:
    """The token ids that a model is called with, in order, by the side that reads them."""

    def __init__(self, model: nn.Module) -> None:
        self._sides = _sides(model)
        self._ids: dict[str, list[Tensor]] = {side: [] for side in self._sides}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the ids of each call until the block ends."""
        with ExitStack() as stack:
            for side, module in self._sides.items():
                handle = module.register_forward_pre_hook(self._hook(side), with_kwargs=True)
                stack.callback(handle.remove)
            yield

    def label(self, trace: Trace, tokenizer: Any, merged: Sequence[Steps] = ()) -> str:
        """Set the trace's tokens; return why some are not known, or ""."""
        if not trace.calls:
            return ""
        if not any(self._ids.values()):
            return (
                "the tokens are not known: the model was not called with token ids "
                "(B, T); pass tokens="
            )
        rows = {side: _row(ids, trace.calls, merged) for side, ids in self._ids.items()}
        names = {side: _names(tokenizer, row) for side, row in rows.items() if row is not None}
        queries = names.get(ONLY) or names.get(DECODER) or ()
        keys = names.get(ENCODER)
        # Beams of one text have its keys.
        crossing = [call.batch for call in trace.calls if call.kind == "cross"]
        beams = max(crossing, default=1) // max(len(keys or ()), 1)
        if keys and beams > 1:
            keys = [row for row in keys for _ in range(beams)]
        trace.set_tokens(queries, keys)
        if any(row is None and self._ids[side] for side, row in rows.items()):
            return (
                "the tokens are not known: the model read several texts, or beams that changed "
                "places, whose calls the trace can't label by one row a sequence; capture one text "
                "or batch at a time, or pass tokens="
            )
        return ""

    def _hook(self, side: str) -> Any:
        def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            ids = _ids_of(args, kwargs)
            if ids is not None:
                self._ids[side].append(ids.detach().cpu())

        return note


def _sides(model: nn.Module) -> dict[str, nn.Module]:
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        parts = {ENCODER: model.get_encoder(), DECODER: model.get_decoder()}  # type: ignore[operator]
        return {side: part for side, part in parts.items() if part is not None}
    return {ONLY: model}


def _ids_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the ids (B, T) among a call's arguments, by name or as the first integer tensor."""
    import torch

    first = args[0] if args else None
    named = first if isinstance(first, Mapping) else kwargs
    given = named.get("input_ids")
    candidates = [given] if given is not None else list(args)
    for tensor in candidates:
        if isinstance(tensor, torch.Tensor) and tensor.dtype in (torch.int64, torch.int32):
            ids = tensor.reshape(1, -1) if tensor.ndim == 1 else tensor
            return ids if ids.ndim == 2 else None
    return None


def _row(
    calls_ids: list[Tensor], calls: tuple[AttentionCall, ...], merged: Sequence[Steps]
) -> Tensor | None:
    """Return the ids that label the calls: one text's, or those of a generation's steps joined."""
    import torch

    for steps in merged:
        if [ids.shape[1] for ids in calls_ids] == [length for length, _ in steps]:
            parts = zip(calls_ids, steps, strict=True)
            return torch.cat([ids[torch.from_numpy(rows)] for ids, (_, rows) in parts], dim=1)
    if not calls_ids or len({len(ids) for ids in calls_ids}) != 1:
        return None
    longest = max(calls_ids, key=lambda ids: ids.shape[1])
    if all(torch.equal(ids, longest[:, : ids.shape[1]]) for ids in calls_ids):
        return longest  # the same text, or a text that grows, run without a cache
    joined = torch.cat(calls_ids, dim=1)
    lengths = {call.query_len for call in calls if call.kind == "self"}
    # Beams may change places between steps; one sequence can't.
    whole = joined.shape[1] in lengths and not lengths & {ids.shape[1] for ids in calls_ids}
    grows = any(call.q_offset and call.key_len == joined.shape[1] for call in calls)
    return joined if len(joined) == 1 and (whole or grows) else None


def _names(tokenizer: Any, ids: Tensor) -> list[tuple[str, ...]]:
    return [names_of_ids(tokenizer, row.tolist()) for row in ids]
