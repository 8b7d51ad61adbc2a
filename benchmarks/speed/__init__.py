"""How fast runners are: ours beside its peers, in one run.

::

    make bench                          all of it: 25 minutes on two cores that do nothing else
    make bench ARGS='--only noop'       one part; its file and the page are written again
    make bench ARGS='--quick'           small sizes, two turns; prints the page and writes nothing
    python -m benchmarks.speed.page     the page again, without measuring

Each part writes ``benchmarks/results/NAME.json``; out of these the page, docs/performance.md, and its charts are made.
The systems of a part are run in turns (A B C, A B C, ...), the load is noted before each, and what is told is the
median. A peer that fails is shown as failing, with its own words.
"""
