"""The same jobs by Ray, an actor for each lane. Run as a program: ``on_ray.py LANES call|process|torch [STEPS]``.

Reads one command a line, words apart by tabs; prints when the actors were ready and when the last job had ended, in
seconds since 1970. ``call`` is a method that does nothing, ``process`` one that starts the command, ``torch`` the
script of ``warm.py`` rewritten as an actor: PyTorch is imported once, the words are a video's folder.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import ray
from ray.util import ActorPool


class Calls:
    def __init__(self, steps: int) -> None:
        pass

    def ready(self) -> bool:
        return True

    def run(self, _: list[str]) -> int:
        return 0


class Processes(Calls):
    def run(self, words: list[str]) -> int:
        return subprocess.Popen(words).wait()


class Torch(Calls):
    def __init__(self, steps: int) -> None:
        import torch

        self.torch, self.steps = torch, steps
        torch.set_num_threads(1)

    def run(self, words: list[str]) -> int:
        folder = Path(words[0])
        video = next(folder.glob("*.mp4"))
        matrix = self.torch.eye(256)
        for _ in range(self.steps):
            matrix = self.torch.tanh(matrix @ matrix + 0.5)
        out = folder / video.stem
        out.mkdir()
        (out / "result.txt").write_text(f"{matrix.sum().item()}\n")
        return 0


def main() -> None:
    lanes, kind, steps = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0
    jobs = [line.rstrip("\n").split("\t") for line in sys.stdin]
    ray.init(num_cpus=lanes, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    actor = ray.remote(num_cpus=1)({"call": Calls, "process": Processes, "torch": Torch}[kind])
    actors = [actor.remote(steps) for _ in range(lanes)]
    ray.get([one.ready.remote() for one in actors])
    ready_at = time.time()
    statuses = list(ActorPool(actors).map_unordered(lambda one, words: one.run.remote(words), jobs))
    print(ready_at, time.time())
    sys.stdout.flush()
    ray.shutdown()
    sys.exit(any(statuses))


if __name__ == "__main__":
    main()
