"""Which positions that an intervention hides lie within some call, and which beyond all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnpanel.models.intervene.masks import MaskRule
    from attnpanel.models.intervene.target import CallTarget

NAMED = 3  # positions that a warning spells out


class HiddenPositions:
    """The keys and edges of a mask that no call so far was long enough for.

    Parameters
    ----------
    rule : MaskRule or None
    """

    def __init__(self, rule: MaskRule | None) -> None:
        self._keys = dict.fromkeys(() if rule is None else rule.keys)
        self._edges = dict.fromkeys(() if rule is None else rule.edges)
        # The longest calls: the position after the last query, and the number of keys.
        self._query_end = self._key_end = 0

    def note(self, target: CallTarget) -> None:
        """Note a call whose keys and edges are hidden."""
        queries = range(target.q_offset, target.q_offset + target.query_len)
        self._query_end = max(self._query_end, queries.stop)
        self._key_end = max(self._key_end, target.key_len)
        self._keys = {key: None for key in self._keys if key >= target.key_len}
        self._edges = {
            (query, key): None
            for query, key in self._edges
            if query not in queries or key >= target.key_len
        }

    def beyond_all_calls(self) -> str:
        """Return a sentence on the positions that no call had; empty if there are none."""
        if not self._key_end or not (self._keys or self._edges):
            return ""
        parts = [f"hide_keys={_listed(list(self._keys))}"] if self._keys else []
        if self._edges:
            parts.append(f"hide_edges={_listed(list(self._edges))}")
        return (
            f"{' and '.join(parts)} had no effect: no changed call has these positions; the "
            f"longest has {self._query_end} queries and {self._key_end} keys, counted from 0"
        )


def _listed(positions: list[int] | list[tuple[int, int]]) -> str:
    more = f", … ({len(positions)} in all)" if len(positions) > NAMED else ""
    return f"[{', '.join(map(str, positions[:NAMED]))}{more}]"
