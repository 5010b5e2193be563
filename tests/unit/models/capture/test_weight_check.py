"""The check of recomputed weights against a model's own."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.trace.call import AttentionCall

torch = pytest.importorskip("torch")

from attnpanel.models.capture.weight_check import TOLERANCE, weights_agree  # noqa: E402

T, S, D = 2, 16_384, 3


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_a_changed_head_is_found_in_a_long_row(factor):
    zeros = np.zeros((1, 1, T, D), "f4")
    call = AttentionCall("layer", 0, "self", query=zeros, key=np.zeros((1, 1, S, D), "f4"))
    uniform = torch.full((1, 1, T, S), 1 / S)

    assert weights_agree(call, uniform, TOLERANCE["float32"])
    assert not weights_agree(call, factor * uniform, TOLERANCE["float32"])
