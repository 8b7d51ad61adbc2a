"""What the built-in pipeline costs per second of film, beside the naive way and beside decoding alone.

    python -m benchmarks.pipeline --weights DIR --media DIR --golden DIR --work DIR        20 minutes

measures all parts, one after the other, and writes each into ``benchmarks/results/`` as soon as it is there;
``python -m benchmarks.pipeline.page`` writes docs/performance-pipeline.md out of them. ``--only PART`` measures one.
Let the machine do nothing else meanwhile: the figures are processor time, but a busy neighbour costs that, too.
"""
