"""Interventions on single heads of every model family."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from attnpanel import capture, intervene, softmax  # noqa: E402
from tests.unit.models.intercept.test_model_families import CASES, build, inputs_for  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

# Sums of float32 products in another order.
ATOL = 1e-5


def changed(call, head, batch):
    """A head's weights at temperature 1/2 without key 2, from the scores of the unchanged run."""
    seen = call.visible(head, batch).copy()
    seen[:, 2] = False
    scores = np.where(seen, 2 * call.scores(head, batch), -np.inf)
    if call.sinks is None:
        empty = ~seen.any(-1, keepdims=True)
        return np.where(empty, 0, softmax(np.where(empty, 0, scores)))
    sink = np.full((call.query_len, 1), 2 * call.sinks[head])
    return softmax(np.concatenate([scores, sink], axis=1))[:, :-1]


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize(("family", "attention"), CASES)
def test_a_familys_attention_is_changed_in_one_head(family, attention):
    model, inputs = build(family, attention), inputs_for(family)
    with torch.no_grad():
        with capture(model) as before:
            plain = model(**inputs)
        layer = before.calls[0].layer
        asked = {"layer": layer, "head": 1, "temperature": 0.5, "hide_keys": 2}
        with intervene(model, **asked), capture(model) as after:
            during = model(**inputs)
        with intervene(model, weights=before):
            again = model(**inputs)

    # ALBERT runs one layer twice: its second call starts from what the first has changed.
    own, call = before.calls[0], after.calls[0]
    for batch in range(call.batch):
        for head in range(call.heads):
            expected = changed(own, head, batch) if head == 1 else own.weights(head, batch)
            np.testing.assert_allclose(call.weights(head, batch), expected, rtol=0, atol=ATOL)
    # Replacing the weights by themselves does not change the output.
    np.testing.assert_allclose(again[0], plain[0], rtol=0, atol=ATOL)
    assert not torch.equal(during[0], plain[0])
