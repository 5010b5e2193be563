"""`python -m bench report`: the offline report and its peers, written and opened without a network.

A file is written in fresh processes. Its `cpu_s` is that of the export alone, all threads, the
first of its process; `extra_peak_bytes` is the high-water mark of resident memory above that of
a process that imports the same modules and loads the same data but exports nothing.

A file is opened in a fresh headless Chromium with its network off, from `file://`. `drawn_s` runs
from the start of the navigation, told by the page's own clock, to the second animation frame
after the first heatmap has pixels (for a peer: after its first picture is there, see
`peers.PEERS`); `drawn_cpu_s` is the CPU time that the page's renderer process has taken by then,
workers included, `rest_cpu_s` what it has taken when it no longer takes any. Chromium's other
processes, and the renderer of the blank page before, are not counted. `elements` counts the
elements of the document and of every shadow root; `nodes` is Chromium's own count, with texts and
its controls' insides.

How a control is moved and timed stands in bench/sliders.py. A head is timed when it is shown for
the first time. `longest_gap_s` is the longest time without an animation frame from a key press
until the page was quiet again: how long the page did not answer.
"""
