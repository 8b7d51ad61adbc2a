"""Say which weights are here: ``python -m vidfleet.speakers.which_weights`` prints one line of JSON.

For ``vidfleet doctor``, which knows nothing of networks and asks in a process of its own. Nothing is fetched.
"""

from __future__ import annotations

import json
import shlex
import sys

from vidfleet.errors import WeightsError
from vidfleet.speakers.weights import WEIGHTS, Weight, cache_folder, find_weight


def main() -> None:
    """Print name, path, trouble and the command that fetches it, for each of the weights."""
    sys.stdout.write(json.dumps([_look(weight) for weight in WEIGHTS.values()]) + "\n")


def _look(weight: Weight) -> dict[str, str]:
    try:
        path, trouble = find_weight(weight.name), ""
    except (WeightsError, OSError) as error:
        path, trouble = None, str(error)
    target = shlex.quote(str(cache_folder() / weight.file_name))
    return {
        "name": weight.name,
        "path": str(path or ""),
        "trouble": trouble,
        "command": f"curl -fL --create-dirs -o {target} {weight.address}",
    }


if __name__ == "__main__":
    main()
