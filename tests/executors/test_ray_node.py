"""What a node finds out about itself before it gets lanes: whether it sees what the runner sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.executors.base import Ground
from vidfleet.executors.ray import node

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A root that is seen as it is; what is not seen is not waited for."""
    monkeypatch.setattr(node, "_SEEN_WITHIN_S", 0.0)
    root, run = tmp_path / "root", tmp_path / "root" / "run"
    run.mkdir(parents=True)
    for path in (root / "a.mp4", root / "infer.py", run / "token"):
        path.write_text("text")
    return Ground(root, root, run / "token", b"text", ((root / "a.mp4", 4),), (root / "infer.py",))


def test_a_node_that_sees_what_the_runner_sees_has_no_trouble_and_leaves_nothing(ground: Ground) -> None:
    assert node.see(ground) == ""
    assert [path.name for path in ground.token.parent.iterdir()] == ["token"]


def test_a_node_that_does_not_see_the_script_says_so(ground: Ground) -> None:
    """Else each of its attempts would fail, and use up a video's tries."""
    ground.files[0].unlink()
    assert node.see(ground) == f"it does not see {ground.files[0]}"


def test_a_node_with_another_root_or_another_video_says_which(ground: Ground) -> None:
    assert node.see(replace(ground, text=b"another")) == f"its {ground.base} is another one"
    assert node.see(replace(ground, videos=((ground.root / "a.mp4", 5),))) == f"its {ground.root}/a.mp4 is another one"
    assert node.see(replace(ground, root=ground.root / "no")) == f"it does not see {ground.root}/no"
