"""Benchmarks: civitas against floors, the bare libraries that do the same work on the same values.

`python -m benchmarks` measures and writes a document of JSON; the page on performance is made
from one. A suite is a module that gives rows (`suites.py`); a row pairs ours with its floor
(`harness.py`). Whoever needs several processes starts them once and tells them what to measure
(`child.py`): ours are `ours.py` on any transport, the floors are the `raw` modules beside the rows.
"""
