"""What `panel serve bench/app.py` serves: the bench's page."""

from __future__ import annotations

from bench.page.served import bench_page

bench_page().servable(title="attnpanel bench")
