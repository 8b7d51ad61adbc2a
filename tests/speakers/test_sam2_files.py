"""A SAM 2 model is found in a folder, beside the other weights, in the hub's cache, at a commit that is pinned."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import UsageError, WeightsError
from vidfleet.speakers.masks.sam2_files import SAM2, fetch_sam2, find_sam2, sam2_method

if TYPE_CHECKING:
    from pathlib import Path

PINNED = SAM2.revisions["facebook/sam2.1-hiera-tiny"]
NO_TENSORS = (2).to_bytes(8, "little") + b"{}"
"""A whole safetensors file."""


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no weights but those of the test."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("VIDFLEET_WEIGHTS", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "hub"


def make(folder: Path, *, model_type: str = "sam2_video") -> Path:
    """As much of a model as finding one looks at."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "model.safetensors").write_bytes(NO_TENSORS)
    return folder


def in_the_cache(hub: Path, revision: str) -> Path:
    """The tiny model as the hub's client leaves it."""
    entry = hub / "models--facebook--sam2.1-hiera-tiny"
    (entry / "refs").mkdir(parents=True, exist_ok=True)
    (entry / "refs" / "main").write_text(revision)
    return make(entry / "snapshots" / revision)


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    found = find_sam2(str(make(tmp_path / "my-sam")))
    assert found is not None
    assert (found.name, found.folder, found.revision) == ("my-sam", tmp_path / "my-sam", "")
    assert sam2_method(found).name == "SAM 2 my-sam"


def test_a_model_beside_the_other_weights_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(tmp_path / "weights" / "sam2-base-plus")
    named = find_sam2("base-plus", weights=tmp_path / "weights")
    monkeypatch.setenv("VIDFLEET_WEIGHTS", str(tmp_path / "weights"))
    for found in (named, find_sam2("base-plus")):
        assert found is not None
        assert (found.name, found.folder) == ("base-plus", model)


def test_of_the_hubs_cache_the_pinned_commit_is_taken(hub: Path) -> None:
    in_the_cache(hub, "f" * 40)
    assert find_sam2("tiny") is None, "what is newest may be anything"
    model = in_the_cache(hub, PINNED)
    found = find_sam2("tiny")
    assert found is not None
    assert (found.name, found.folder, found.revision) == ("tiny", model, PINNED)
    assert find_sam2(str(model)) == found, "lanes are given the folder, and know the model by it"
    method = sam2_method(found)
    assert method.name == f"SAM 2.1 hiera-tiny (facebook/sam2.1-hiera-tiny@{PINNED})"
    assert method.sha256 == hashlib.sha256(NO_TENSORS).hexdigest()


def test_another_commit_is_taken_where_it_is_asked_for(hub: Path) -> None:
    in_the_cache(hub, "f" * 40)
    for wanted in ("tiny@main", "facebook/sam2.1-hiera-tiny@" + "f" * 40):
        found = find_sam2(wanted)
        assert found is not None
        assert found.revision == "f" * 40


def test_each_name_is_pinned_to_a_whole_commit() -> None:
    assert set(SAM2.revisions) == set(SAM2.repositories.values())
    assert all(re.fullmatch(r"[0-9a-f]{40}", revision) for revision in SAM2.revisions.values())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"(?s)--sam2 huge: .*Known are tiny, small, base-plus, large; .*for transform"
    ):
        find_sam2("huge")


def test_a_folder_of_the_authors_own_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sam2.1_hiera_tiny.pt").touch()
    with pytest.raises(WeightsError, match=r"config.json, model.safetensors is missing.\n.*pt files are not read"):
        find_sam2(str(tmp_path))


def test_a_model_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is no SAM 2 video model: its config.json says 'sam', not 'sam2_video'"):
        find_sam2(str(make(tmp_path / "other", model_type="sam")))


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    (make(tmp_path / "torn") / "config.json").write_text('{"model_type": ')
    with pytest.raises(WeightsError, match=r"torn/config.json is damaged"):
        find_sam2(str(tmp_path / "torn"))


def test_offline_the_command_fetches_what_is_looked_for_and_no_more() -> None:
    with pytest.raises(WeightsError, match=r"the SAM 2 model tiny is not here, and .* did not answer") as refused:
        fetch_sam2("tiny", is_reachable=lambda _address: False)
    command = f"    hf download facebook/sam2.1-hiera-tiny config.json model.safetensors --revision {PINNED}"
    assert f"{command}\n" in str(refused.value)
    assert f"{command} --local-dir DIR" in str(refused.value)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        NO_TENSORS[:9],
        NO_TENSORS + b"more",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:48c1\n",
        (58).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [2], "data_offsets":[0,8]}}'[:58] + b"half",
        (4).to_bytes(8, "little") + b"[17]",
    ],
)
def test_weights_that_were_not_copied_as_a_whole_are_refused_before_a_video_is_touched(
    tmp_path: Path, damaged: bytes
) -> None:
    (make(tmp_path / "sam2-mine") / "model.safetensors").write_bytes(damaged)
    with pytest.raises(WeightsError, match=r"(?s)model\.safetensors is damaged.*Fetch it again"):
        find_sam2(str(tmp_path / "sam2-mine"))


def test_a_file_is_no_model_and_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "sam2.1_hiera_tiny.pt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is a file; a SAM 2 video model for transformers is a folder"):
        find_sam2("weights/sam2.1_hiera_tiny.pt")


@pytest.mark.parametrize("wanted", ["", "~nobody-of-this-name/sam2"])
def test_what_names_nothing_is_refused_with_the_names_that_are_known(wanted: str) -> None:
    with pytest.raises(UsageError, match="Known are tiny, small, base-plus, large"):
        find_sam2(wanted)
