"""`python -m bench report`: write and open the offline report and its peers without a network.

A file is written in fresh processes. Its `cpu_s` is the CPU time (all threads) of the only export
of a process; `extra_peak_bytes` is the high-water mark of resident memory above that of a process
that imports the same modules and loads the same data but exports nothing.

A file is opened from `file://` in a fresh headless Chromium with its network off. `drawn_s` is the
time, by the page's clock, from the start of the navigation to the second animation frame after the
first heatmap has pixels (for a peer, after its first plot exists; see `peers.PEERS`). `drawn_cpu_s`
is the CPU time of the page's renderer process by then, workers included; `rest_cpu_s` is its CPU
time when it has become idle. Chromium's other processes and the renderer of the initial blank page
are not counted. `elements` counts the elements of the document and of all shadow roots; `nodes` is
Chromium's own count, including text nodes and the internals of form controls.

See bench/product/sliders.py for how a control is moved and timed. A head is timed when it is shown
for the first time. `longest_gap_s` is the longest time without an animation frame from a key press
until the page is quiet again: how long the page was unresponsive.
"""
