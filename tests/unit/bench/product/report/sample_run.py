"""A sample run of `bench report`."""

from __future__ import annotations

from attnpanel.bench.measure.environment import Environment
from attnpanel.bench.product.report.results import Change, Export, Opening, ReportRun, Row
from attnpanel.bench.run.serialization import Interaction

ENVIRONMENT = Environment(
    date_utc="2026-01-02T03:04:05+00:00",
    commit="0123456789abcdef",
    dirty=False,
    cpu_model="Abacus",
    cores=4,
    memory_bytes=3 * 2**29,
    os="Linux",
    python="CPython 3.11.7",
    versions={"numpy": "2.0"},
    browser="Chromium 1",
    thread_variables={},
    load_before=(0.5, 0.25, 0.125),
    load_after=(1.5, 0.5, 0.25),
)
UNDRAWN = Opening(
    drawn_s=None,
    drawn_cpu_s=None,
    rest_cpu_s=None,
    elements=None,
    nodes=None,
    renderer_bytes=None,
    errors=("Failed to load resource: net::ERR", "ReferenceError: require is not defined"),
    requests=("https://cdn.example/require.js",),
)
FIRST = Opening(
    drawn_s=2.0,
    drawn_cpu_s=1.5,
    rest_cpu_s=2.5,
    elements=1200,
    nodes=3400,
    renderer_bytes=200_000_000,
    errors=(),
    requests=(),
)
SECOND = Opening(
    drawn_s=3.0,
    drawn_cpu_s=1.75,
    rest_cpu_s=None,
    elements=None,
    nodes=None,
    renderer_bytes=None,
    errors=("once",),
    requests=(),
)
HEAD = Change(
    Interaction(
        query_len=8,
        control="head",
        source="attn:weights",
        plots=("weights",),
        data_s=(0.010, 0.020, 0.030),
        paint_s=(0.100, 0.300, 0.200),
        lost=1,
        pixels_changed=False,
    ),
    longest_gap_s=(0.050, 0.075, 0.025),
)
RUN = ReportRun(
    schema="attnpanel.bench-report/1",
    preset="quick",
    environment=ENVIRONMENT,
    peers={"peer": "1.2"},
    rows=(
        Row("floor", "", None, "ok", None, (), (), None),
        Row(
            "attnpanel",
            "toy T=8",
            values=True,
            status="ok",
            export=Export(3_040_000, (0.9, 1.1), (0.5, 0.7), (64_000_000, 66_000_000)),
            openings=(FIRST, SECOND),
            changes=(HEAD,),
            head_s=None,
        ),
        Row(
            "Peer",
            "toy T=8",
            values=None,
            status="needs a network",
            export=Export(1_234_000_000, (40.0,), (39.5,), None),
            openings=(UNDRAWN,),
            changes=(),
            head_s=1.25,
        ),
    ),
)
