"""Capture a vision transformer of timm; print as JSON how its weights agree with its own.

``python tests/unit/models/intercept/timm_run.py FOLDER``; FOLDER holds timm and torchvision.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

BOXES = "Tensor dets, Tensor scores, float iou_threshold"


def import_timm(folder):
    """Import timm with the torchvision beside it, whichever torch that was built for."""
    sys.path.append(folder)
    try:
        import torchvision
    except RuntimeError:
        # Its compiled part was built for another torch and isn't loaded; its Python part describes
        # two operators of it. Declared without an implementation, nothing is missing to timm.
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}({BOXES}) -> Tensor")
        import torchvision  # noqa: F401
    import timm

    return timm


def main(folder):
    timm = import_timm(folder)
    from attnpanel import capture

    torch.manual_seed(3)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2).eval()
    for parameter in model.parameters():  # fresh weights give nearly uniform attention
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.1)
    picture, own, found = torch.randn(2, 3, 32, 32), [], {}
    for block in model.blocks:  # what goes into the dropout are the weights
        block.attn.attn_drop.register_forward_hook(lambda _, given, __: own.append(given[0]))
    for fused in (False, True):  # written out first: that run gives the model's own weights
        for block in model.blocks:
            block.attn.fused_attn = fused
        with torch.inference_mode():
            plain = model(picture)
            with capture(model) as trace:
                during = model(picture)
        errors = [
            max(
                float(np.abs(call.weights(h, b) - weights[b, h].numpy()).max())
                for b in range(call.batch)
                for h in range(call.heads)
            )
            for call, weights in zip(trace.calls, own[:2], strict=True)
        ]
        found["fused" if fused else "written out"] = {
            "same": torch.equal(plain, during),
            "layers": trace.layers,
            "shapes": [(c.batch, c.heads, c.query_len, c.key_len) for c in trace.calls],
            "live": [call.live for call in trace.calls],
            "error": max(errors),
            "largest": max(float(weights.max()) for weights in own[:2]),
        }
    print(json.dumps(found))  # noqa: T201 - what the test reads


main(sys.argv[1])
