"""The bench's page for `panel serve attnpanel/bench/app.py`."""

from __future__ import annotations

from attnpanel.bench.page.served import bench_page

bench_page().servable(title="attnpanel bench")
