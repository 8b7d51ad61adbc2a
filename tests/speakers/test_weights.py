"""Weights are what they claim to be, wherever they come from; nothing is fetched but over https."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import urllib.error
import urllib.request
from email.message import Message
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import WeightsError
from vidfleet.speakers import weights as module
from vidfleet.speakers.weights import WEIGHTS, Weight, choose_models, fetch_weight, find_weight

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

CONTENT = b"what the network learnt"
ADDRESS = "https://publisher.example/weights/net.onnx"


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with an empty cache and one known weight, ``net``; gives the cache's folder."""
    known = Weight("net", "our_net.onnx", ADDRESS, hashlib.sha256(CONTENT).hexdigest(), "MIT", len(CONTENT))
    monkeypatch.setattr(module, "WEIGHTS", {"net": known})
    monkeypatch.delenv("VIDFLEET_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vidfleet" / "weights"


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def serve(content: bytes = CONTENT) -> Callable[[str], IO[bytes]]:
    return lambda _address: io.BytesIO(content)


def unreachable(_address: str) -> IO[bytes]:
    raise urllib.error.URLError("Name or service not known")


def never(_name: str) -> Path:
    raise AssertionError("something was fetched")


def test_the_folder_comes_before_the_environment_and_that_before_the_cache(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    assert find_weight("net", folder=tmp_path / "empty") is None
    cached = put(user / "our_net.onnx")
    assert find_weight("net") == cached
    named = put(tmp_path / "named" / "net.onnx")
    monkeypatch.setenv("VIDFLEET_WEIGHTS", str(named.parent))
    assert find_weight("net") == named, "the publisher's file name will do"
    given = put(tmp_path / "given" / "our_net.onnx")
    assert find_weight("net", folder=given.parent) == given
    assert find_weight("net", folder=tmp_path / "empty") == named


def test_a_file_with_another_content_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = put(tmp_path / "given" / "our_net.onnx", b"something else")
    with pytest.raises(WeightsError, match=r"our_net\.onnx is not the weights net") as caught:
        find_weight("net", folder=path.parent)
    assert ADDRESS in str(caught.value)
    with pytest.raises(WeightsError, match="is not the weights"):
        choose_models("auto", ["net"], folder=path.parent, fetch=never)


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = put(tmp_path / "given" / "our_net.onnx")
    find_weight("net", folder=path.parent)
    hits = module._sum.cache_info().hits
    find_weight("net", folder=path.parent)
    assert module._sum.cache_info().hits == hits + 1
    put(path, b"something much longer than what was there before")
    with pytest.raises(WeightsError):
        find_weight("net", folder=path.parent)


def test_a_folder_that_is_missing_and_a_name_that_is_unknown_are_errors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        find_weight("net", folder=tmp_path / "absent")
    with pytest.raises(WeightsError, match="known are net"):
        find_weight("other")


def test_what_is_fetched_lies_whole_in_the_cache_and_is_found_there(user: Path) -> None:
    path = fetch_weight("net", open_address=serve())
    assert path.read_bytes() == CONTENT
    assert find_weight("net") == path
    assert fetch_weight("net", open_address=unreachable) == path, "it is there already"


def test_processes_that_want_the_same_weights_fetch_them_once(user: Path) -> None:
    opened: list[str] = []

    def count(address: str) -> IO[bytes]:
        opened.append(address)
        return io.BytesIO(CONTENT)

    threads = [threading.Thread(target=fetch_weight, args=["net"], kwargs={"open_address": count}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [ADDRESS]


@pytest.mark.parametrize("content", [b"<html>log in first</html>", CONTENT + b"x", CONTENT[:-1], b""])
def test_another_content_is_refused_and_leaves_nothing(user: Path, content: bytes) -> None:
    with pytest.raises(WeightsError, match="another content"):
        fetch_weight("net", open_address=serve(content))
    assert not [path for path in user.iterdir() if path.suffix != ".lock"]


def test_an_endless_answer_is_cut_off(user: Path) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            Endless.given += size
            return bytes(size)

    with pytest.raises(WeightsError):
        fetch_weight("net", open_address=lambda _address: Endless())  # type: ignore[arg-type, return-value]
    assert Endless.given <= 2 * module.CHUNK_BYTES


def test_a_broken_copy_in_the_cache_is_replaced(user: Path) -> None:
    put(user / "our_net.onnx", b"torn")
    assert fetch_weight("net", open_address=serve()).read_bytes() == CONTENT


def test_where_there_is_no_network_the_error_says_what_to_type(user: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch_weight("net", open_address=unreachable)
    text = str(caught.value)
    assert f"curl -fL --create-dirs -o {user / 'our_net.onnx'} {ADDRESS}" in text
    assert "Name or service not known" in text
    assert "--weights DIR" in text


def test_a_cache_that_cannot_be_written_is_an_error(user: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file in the way")
    with pytest.raises(WeightsError, match="could not be fetched"):
        fetch_weight("net", open_address=serve())


@pytest.mark.parametrize("address", ["http://publisher.example/net", "file:///etc/passwd", "ftp://x/y"])
def test_nothing_but_https_is_opened(address: str) -> None:
    with pytest.raises(OSError, match="not an https address"):
        module._open_soon(address)


def test_a_redirect_away_from_https_is_refused() -> None:
    handler, request = module._HttpsOnly(), urllib.request.Request("https://publisher.example/a")
    moved = handler.redirect_request(request, io.BytesIO(), 302, "Found", Message(), "https://other.example/b")  # type: ignore[arg-type]
    assert moved is not None
    assert moved.full_url == "https://other.example/b"
    with pytest.raises(OSError, match="not an https address"):
        handler.redirect_request(request, io.BytesIO(), 302, "Found", Message(), "http://other.example/b")  # type: ignore[arg-type]


def test_a_publisher_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_LIMIT_S", 0.2)
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError, match=r"no answer|timed out"):
        module._open_soon(f"https://127.0.0.1:{silent.getsockname()[1]}/net.onnx")


def test_auto_takes_the_full_models_where_they_are_or_can_be_had(user: Path) -> None:
    models = choose_models("auto", ["net"], fetch=lambda name: fetch_weight(name, open_address=serve()))
    assert models.paths == {"net": user / "our_net.onnx"}
    assert not models.are_embedded
    assert not models.reason
    assert choose_models("full", ["net"], fetch=never).paths == models.paths


def test_auto_falls_back_and_says_why_where_full_stops(user: Path) -> None:
    def fetch(name: str) -> Path:
        return fetch_weight(name, open_address=unreachable)

    models = choose_models("auto", ["net"], fetch=fetch)
    assert models.are_embedded
    assert "could not be fetched" in models.reason
    with pytest.raises(WeightsError, match="curl"):
        choose_models("full", ["net"], fetch=fetch)


def test_embedded_never_looks(user: Path) -> None:
    put(user / "our_net.onnx", b"not even at a broken one")
    models = choose_models("embedded", ["net"], fetch=never)
    assert models.are_embedded
    assert models.reason


def test_the_known_weights_are_published_under_https_with_a_licence() -> None:
    for name, weight in WEIGHTS.items():
        assert weight.name == name
        assert weight.address.startswith("https://")
        assert len(weight.sha256) == 64
        assert weight.licence in ("MIT", "Apache-2.0")


def test_the_known_sums_are_those_of_the_files(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WEIGHTS", WEIGHTS)
    here = {name: path for name in WEIGHTS if (path := find_weight(name, folder=weights))}
    assert here.keys() >= {"lr-asd", "lr-asd-talkset", "yunet"}
    for name, path in here.items():
        assert path.stat().st_size == WEIGHTS[name].size_bytes
