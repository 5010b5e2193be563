"""What a variant of attention costs: KV cache, operations, bytes moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnpanel.attention.mask_rules import evaluate, parse
from attnpanel.pages.variants.table import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attnpanel.pages.variants.table import Layout, Visibility


def price(
    layout: Layout, visibility: Visibility, sizes: Mapping[str, int], *, projections: bool = False
) -> dict[str, int]:
    """Return every quantity of :data:`~attnpanel.pages.variants.table.QUANTITIES` by its name.

    Of all layers and the whole batch: of a prefill of `length` tokens, and of decoding the token
    at which `length` tokens are in the sequence. Bytes count each array once. The softmax, norms
    and biases are not counted, nor is what a model has beside attention.

    Parameters
    ----------
    layout : Layout
    visibility : Visibility
    sizes : mapping of str to int
        Every size of :data:`~attnpanel.pages.variants.table.SIZES`.
    projections : bool, optional
        Whether to count the products that make queries, keys and values, and the output.

    Examples
    --------
    Llama 3 8B caches 128 KiB a token:

    >>> from attnpanel.pages.variants.models import MODELS
    >>> from attnpanel.pages.variants.table import LAYOUTS, VISIBILITIES
    >>> price(LAYOUTS[1], VISIBILITIES[0], MODELS[0].sizes)["cache_per_token"]
    131072
    """
    names: dict[str, int] = {**sizes, "projections": int(projections)}
    for counts in (layout.counts, visibility.counts):
        names |= {name: evaluate(parse(text), names) for name, text in counts.items()}
    for quantity in QUANTITIES:
        names[quantity.name] = evaluate(parse(quantity.formula), names)
    return {quantity.name: names[quantity.name] for quantity in QUANTITIES}
