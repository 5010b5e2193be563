"""The bench's page for `panel serve bench/app.py`."""

from __future__ import annotations

from bench.page.served import bench_page

bench_page().servable(title="attnpanel bench")
