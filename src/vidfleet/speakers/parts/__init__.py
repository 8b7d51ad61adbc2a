"""One long film in parts, done by several lanes at once (``--split``), with the results of one pass.

::

    key frames ──segments──▶ plan ──board──▶ who does which ──segment_pass──▶ part files ──join──▶ Findings
                                                  └─ watch: where two of them agree on a cut

``leader`` is the attempt whose film it is; ``helper`` is another lane that takes a share of it.
"""
