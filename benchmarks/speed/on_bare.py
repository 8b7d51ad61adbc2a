"""A bare loop over ``Popen``: what starting a program costs in itself. Run as a program, with the lanes' number.

Reads one command a line, words apart by tabs; prints the seconds from the first start to the last end. With several
lanes a thread of each takes the next command.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def call(words: list[str]) -> int:
    return subprocess.Popen(words).wait()


def main() -> None:
    lanes = int(sys.argv[1])
    commands = [line.rstrip("\n").split("\t") for line in sys.stdin]
    began = time.perf_counter()
    if lanes == 1:
        statuses = [call(words) for words in commands]
    else:
        with ThreadPoolExecutor(lanes) as pool:
            statuses = list(pool.map(call, commands))
    print(time.perf_counter() - began)
    sys.exit(any(statuses))


if __name__ == "__main__":
    main()
