"""What the built-in pipeline costs per second of film, beside the naive way and beside decoding alone.

    python -m benchmarks.pipeline --weights DIR --media DIR --golden DIR --work DIR        80 minutes

measures all parts, one after the other, those that a busy machine harms first, and writes each into
``benchmarks/results/`` as soon as it is there. ``--short --minutes 25`` gives the long films one turn and leaves
out what would end later; ``--only PART`` measures one. ``python -m benchmarks.pipeline.page`` writes
docs/performance-pipeline.md out of the files that are there. Let the machine do nothing else meanwhile: the
figures are processor time, but a busy neighbour costs that, too.
"""
