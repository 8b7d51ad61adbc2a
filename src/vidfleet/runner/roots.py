"""Which roots have their outputs mirrored in one ``--output``: two of them may have a video of the same path.

A list of roots lies beside the runs, in ``<output>/.vidfleet/``. A root that was moved is simply one more, of which
nothing is there any more.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.runner.discover import STATE_FOLDER
from vidfleet.runner.identity import input_difference
from vidfleet.runner.reading import read_json
from vidfleet.runner.writing import write_whole

if TYPE_CHECKING:
    from vidfleet.data import Video
    from vidfleet.runner.record import Record

_NAME = "roots.json"
_MOST = 100
_SCHEMA = 1


def remember_root(output: Path, root: Path) -> None:
    """Note that ``root`` has its outputs below ``output``."""
    known = _roots(output)
    if str(root) in known:
        return
    text = json.dumps({"schema": _SCHEMA, "roots": [*known, str(root)][-_MOST:]}) + "\n"
    with contextlib.suppress(OSError):  # a full disk: the run says it elsewhere
        write_whole(output / STATE_FOLDER / _NAME, text)


def others_video(record: Record, video: Video, output: Path) -> Path | None:
    """The video of another root that the output of this one's path was made of; nothing where there is none.

    Nor where it is this one's own: the root was copied, or the workload alone has changed.
    """
    if not input_difference(record.input, video, content=False, sidecars=()):
        return None
    for root in _roots(output.absolute()):
        other = Path(root, video.relative)
        with contextlib.suppress(OSError, ValueError):
            status = other.stat()
            is_recorded = (status.st_size, status.st_mtime_ns) == (record.input["size_bytes"], record.input["mtime_ns"])
            if is_recorded and not other.samefile(video.path):
                return other
    return None


def _roots(output: Path) -> list[str]:
    try:
        return [str(root) for root in read_json(output / STATE_FOLDER / _NAME)["roots"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
