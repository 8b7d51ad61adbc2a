"""A model is found in a folder, beside the other weights, in the hub's cache; else the way to get it is told."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.support.tiny_whisper import make_whisper
from vidfleet.errors import UsageError, WeightsError
from vidfleet.speakers.words.whisper_files import fetch_whisper, find_whisper

if TYPE_CHECKING:
    from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no weights but those of the test."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("VIDFLEET_WEIGHTS", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "hub"


def in_the_cache(hub: Path) -> Path:
    """The small model as the hub's client leaves it."""
    entry = hub / "models--Systran--faster-whisper-small"
    (entry / "refs").mkdir(parents=True)
    (entry / "refs" / "main").write_text(REVISION)
    return make_whisper(entry / "snapshots" / REVISION)


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    found = find_whisper(str(make_whisper(tmp_path / "my-whisper")))
    assert found is not None
    assert (found.name, found.folder, found.revision) == ("my-whisper", tmp_path / "my-whisper", "")


def test_a_folder_that_holds_no_model_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    model = make_whisper(tmp_path / "half")
    (model / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"half is no Whisper model .*: tokenizer.json is missing"):
        find_whisper(str(model))


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    model = make_whisper(tmp_path / "torn")
    (model / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes()[:100])
    with pytest.raises(WeightsError, match=r"torn/tokenizer.json is damaged"):
        find_whisper(str(model))


def test_a_model_beside_the_other_weights_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_whisper(tmp_path / "weights" / "whisper-small")
    named = find_whisper("small", weights=tmp_path / "weights")
    monkeypatch.setenv("VIDFLEET_WEIGHTS", str(tmp_path / "weights"))
    for found in (named, find_whisper("small")):
        assert found is not None
        assert (found.name, found.folder) == ("small", model)


def test_a_model_in_the_hubs_cache_is_found_with_its_revision(hub: Path) -> None:
    assert find_whisper("small") is None
    model = in_the_cache(hub)
    found = find_whisper("small")
    assert found is not None
    assert (found.name, found.folder) == ("small", model)
    assert (found.repository, found.revision) == ("Systran/faster-whisper-small", REVISION)
    assert find_whisper(f"small@{REVISION}") == found
    assert find_whisper(str(found.folder)) == found, "lanes are given the folder, and know the model by it"
    assert find_whisper("small@" + "f" * 40) is None


def test_half_a_model_in_the_hubs_cache_is_none(hub: Path) -> None:
    (in_the_cache(hub) / "model.bin").unlink()
    assert find_whisper("small") is None


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"(?s)--whisper huge: .*Known are .*small"):
        find_whisper("huge")


def test_offline_the_commands_that_help_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"did not answer in 5 s") as refused:
        fetch_whisper("large-v3-turbo", is_reachable=lambda _address: False)
    assert "    hf download mobiuslabsgmbh/faster-whisper-large-v3-turbo\n" in str(refused.value)
    assert "--local-dir DIR" in str(refused.value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE is set"):
        fetch_whisper("small@abc")


def test_a_hub_that_breaks_off_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"could not be fetched from http://127.0.0.1:9"):
        fetch_whisper("small@abc")


class Hub(SimpleHTTPRequestHandler):
    """As much of the hub as its client asks for to fetch a repository: one revision of a folder."""

    folder: Path

    def do_GET(self) -> None:
        files = sorted(self.folder.iterdir())
        if "/tree/" in self.path:
            tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _oid(f)} for f in files]
            self._send(json.dumps(tree).encode())
        elif self.path.startswith("/api/"):
            names = [{"rfilename": path.name} for path in files]
            self._send(json.dumps({"id": "a/b", "sha": REVISION, "siblings": names}).encode())
        else:
            self._send((self.folder / self.path.rpartition("/")[2]).read_bytes())

    do_HEAD = do_GET  # noqa: N815 - as the standard library asks

    def _send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_a_model_is_fetched_from_the_hub_once(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_whisper(tmp_path / "published")
    (model / "README.md").write_text("not needed")
    handler = type("Handler", (Hub,), {"folder": model})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        fetched = fetch_whisper("small")
        server.shutdown()
    assert (fetched.name, fetched.repository, fetched.revision) == ("small", "Systran/faster-whisper-small", REVISION)
    assert fetched.folder.is_relative_to(hub)
    assert not (fetched.folder / "README.md").exists()
    assert (fetched.folder / "model.bin").read_bytes() == (model / "model.bin").read_bytes()
    assert find_whisper("small") == fetched
