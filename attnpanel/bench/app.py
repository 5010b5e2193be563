"""The bench's page for `attnpanel serve --page bench` and `panel serve`."""

from __future__ import annotations

from attnpanel.bench.page.served import bench_page

bench_page().servable(title="attnpanel bench")
