"""The same jobs by joblib's ``Parallel``. Run as a program: ``on_joblib.py LANES call|process``.

Reads one command a line, words apart by tabs; prints the seconds that all took once its workers were there. ``call``
is a function that does nothing, ``process`` one that starts the command. With one lane joblib calls it itself.
"""

from __future__ import annotations

import subprocess
import sys
import time

from joblib import Parallel, delayed


def call(_: list[str]) -> int:
    return 0


def process(words: list[str]) -> int:
    return subprocess.Popen(words).wait()


def main() -> None:
    lanes, job = int(sys.argv[1]), call if sys.argv[2] == "call" else process
    commands = [line.rstrip("\n").split("\t") for line in sys.stdin]
    with Parallel(n_jobs=lanes, backend="loky") as parallel:
        parallel(delayed(call)([]) for _ in range(4 * lanes))
        began = time.perf_counter()
        statuses = parallel(delayed(job)(words) for words in commands)
        print(time.perf_counter() - began)
    sys.exit(any(statuses))


if __name__ == "__main__":
    main()
