"""A run on a Slurm cluster: array elements that each run our runner over a share of the videos, and who follows them.

::

    drive ──shares──▶ sbatch ──▶ element (on a node: runner/execute.py, local lanes) ──ledger──▶ follow ──▶ drive

What they have in common lies in the run's folder; nothing listens on a socket, and nothing is pickled.
"""
