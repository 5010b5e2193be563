"""What heads write after the output projection, and the tokens that this promotes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from reprlib import repr as short
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.validation import check_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The axes of each array: of the call's batch, heads, queries and keys, and of the listed tokens.
AXES = {
    "norms": "BHS",
    "key_ids": "BHSK",
    "key_logits": "BHSK",
    "row_ids": "BHTK",
    "row_logits": "BHTK",
    "final_scale": "BT",
}
IDS = ("key_ids", "row_ids")
LOGITS = ("key_ids", "key_logits", "row_ids", "row_logits", "final_scale")


@dataclass(frozen=True, eq=False)
class HeadOutputs:
    """What the heads of one call write, as ``capture(outputs=True)`` records it.

    Logits are the direct contribution to the model's own: a head's output through the output
    projection, centred and scaled as the final norm did it in this forward pass, and the
    unembedding. Layers in between that read it are not followed.

    Attributes
    ----------
    norms : float32 array of shape (B, H, S), or None
        Length of each value after the head's part of the output projection.
    key_ids, key_logits : int32 and float32 array of shape (B, H, S, K), or None
        The tokens, as indices into `vocabulary`, whose logits a key's value raises most, then those
        that it lowers most, in descending order; for weight 1, before `final_scale`.
    row_ids, row_logits : int32 and float32 array of shape (B, H, T, K), or None
        The same of each query's whole output, with the model's own weights and `final_scale`.
    final_scale : float32 array of shape (B, T), or None
        What the final norm multiplied each query's position by.
    vocabulary : tuple of str
        The listed tokens; calls of one capture share it.
    missing : str
        Why `norms`, or the logits, are None; empty if they are not.

    Raises
    ------
    ValueError
        If an array has another type or number of axes.
    """

    norms: NDArray[np.float32] | None = None
    key_ids: NDArray[np.int32] | None = None
    key_logits: NDArray[np.float32] | None = None
    row_ids: NDArray[np.int32] | None = None
    row_logits: NDArray[np.float32] | None = None
    final_scale: NDArray[np.float32] | None = None
    vocabulary: tuple[str, ...] = ()
    missing: str = ""

    def __post_init__(self) -> None:
        check_text("outputs.missing", self.missing)
        for name, axes in AXES.items():
            array = getattr(self, name)
            if array is None:
                continue
            dtype = np.int32 if name in IDS else np.float32
            if array.dtype != dtype or array.ndim != len(axes):
                raise ValueError(
                    f"outputs.{name} must be {np.dtype(dtype)} with {len(axes)} axes; "
                    f"got {array.dtype} of shape {array.shape}"
                )
            if array.flags.writeable:
                array = array.copy()
                array.flags.writeable = False
                object.__setattr__(self, name, array)
        given = [name for name in LOGITS if getattr(self, name) is not None]
        if given and len(given) < len(LOGITS):
            raise ValueError(f"outputs must have all of {', '.join(LOGITS)}; got {short(given)}")

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that are not None, by name."""
        held = {name: getattr(self, name) for name in AXES}
        return {name: array for name, array in held.items() if array is not None}

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    def check(self, full: tuple[int, int, int, int]) -> None:
        """Raise ValueError unless the arrays fit a call's (B, H, T, S)."""
        sizes = dict(zip("BHTS", full, strict=True))
        if self.key_ids is not None:
            sizes["K"] = self.key_ids.shape[-1]
        for name, array in self.arrays.items():
            expected = tuple(sizes[axis] for axis in AXES[name])
            if array.shape != expected:
                raise ValueError(f"outputs.{name} must have shape {expected}; got {array.shape}")

    def with_heads(self, heads: list[int]) -> HeadOutputs:
        """Return the outputs of some heads."""
        chosen: dict[str, Any] = {
            name: array[:, heads]
            for name, array in self.arrays.items()
            if AXES[name].startswith("BH")
        }
        return replace(self, **chosen)

    def without_tokens(self) -> HeadOutputs:
        """Return the lengths alone: promoted tokens may be those of a private prompt."""
        hidden = "promoted tokens were left out with the texts"
        return HeadOutputs(self.norms, missing=hidden if self.key_ids is not None else self.missing)

    def key_tokens(
        self, batch: int, head: int, key: int, factor: float
    ) -> tuple[tuple[str, float], ...]:
        """Return the tokens that `factor` times a key's value promotes, and what it adds."""
        if self.key_ids is None or self.key_logits is None:
            return ()
        return self._named(
            self.key_ids[batch, head, key], factor * self.key_logits[batch, head, key].astype(float)
        )

    def row_tokens(self, batch: int, head: int, query: int) -> tuple[tuple[str, float], ...]:
        """Return the tokens that a query's whole output promotes, and what it adds."""
        if self.row_ids is None or self.row_logits is None:
            return ()
        return self._named(self.row_ids[batch, head, query], self.row_logits[batch, head, query])

    def _named(self, ids: NDArray[Any], logits: NDArray[Any]) -> tuple[tuple[str, float], ...]:
        return tuple(
            (self.vocabulary[at], float(logit))
            for at, logit in zip(ids, logits, strict=True)
            if logit != 0  # of a masked key, or a head that is knocked out
        )


def index_of(vocabulary: tuple[str, ...], vocabularies: list[tuple[str, ...]]) -> int:
    """Return the place of a vocabulary in a list, to which it is added if it is not there."""
    for at, known in enumerate(vocabularies):
        if known is vocabulary:
            return at
    vocabularies.append(vocabulary)
    return len(vocabularies) - 1


def check_ids(where: str, ids: NDArray[np.integer], vocabulary: tuple[str, ...]) -> None:
    """Raise ValueError if an index is of no token of the vocabulary."""
    if ids.size and not 0 <= ids.min() <= ids.max() < len(vocabulary):
        raise ValueError(
            f"{where} must be below {len(vocabulary)}, the number of listed tokens; "
            f"got {ids.min()} to {ids.max()}"
        )
