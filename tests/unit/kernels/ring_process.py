"""One process of a ring: computes requests with its neighbours and writes down what it got."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.torch_.ring import RING, ring_attention
from tests.unit.kernels.attention_cases import a_request, draw

# Two processes: 5 queries and 7 keys are shared 3 + 2 and 4 + 3.
REQUESTS = {
    "no mask": a_request(kv_heads=2, value_dim=13),
    "causal": a_request(mask="causal", bias=True, temperature=0.7),
    "causal bottom right": a_request(
        query_len=7, key_len=5, mask="causal", align="bottom_right", kv_heads=1
    ),
    "key padding": a_request(mask="key_padding", pad_lens=(3, 0)),
    "padding": a_request(mask="padding", pad_lens=(4, 1), dtype="float64"),
    "window": a_request(mask="window", window=2, align="bottom_right", temperature=0.01),
    "float16": a_request(dtype="float16", mask="causal"),
    "bfloat16": a_request(dtype="bfloat16", bias=True),
    "one query, fewer keys than processes": a_request(query_len=1, key_len=1, mask="causal"),
}


def alone(rank: int, size: int) -> torch.Tensor:
    """The attention of a ring of one among the others: each process is a group of its own."""
    groups = [torch.distributed.new_group([one]) for one in range(size)]
    request = REQUESTS["no mask"]
    inputs = draw(request, seed=rank)
    query, key, value = (torch.tensor(x) for x in (inputs.query, inputs.key, inputs.value))
    output, _ = ring_attention(
        query,
        key,
        value,
        query_len=request.query_len,
        key_len=request.key_len,
        scale=request.score_scale,
        group=groups[rank],
    )
    return output


def main(rank: int, size: int, meeting: Path, results: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size
    )
    found = {}
    for name, request in REQUESTS.items():
        inputs = draw(request)
        result = RING.prepare(inputs, request)()
        found[name] = to_float64(result.output)
        found[name + " logsumexp"] = to_float64(result.logsumexp)
        if inputs.mask is not None:
            # Another mask than the request's words describe is looked up, not made.
            shifted = replace(inputs, mask=np.roll(inputs.mask, 1, axis=-1))
            found[name + ", another mask"] = to_float64(RING.prepare(shifted, request)().output)
    found["alone"] = to_float64(alone(rank, size))
    np.savez(results, **found)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
