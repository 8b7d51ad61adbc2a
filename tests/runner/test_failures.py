"""Each way to end has its kind, and a sentence."""

from __future__ import annotations

import signal

import pytest

from vidfleet.data import Device, Evidence, Lane
from vidfleet.runner.failures import BY_NAME, KINDS, SameError, recognise


@pytest.mark.parametrize(
    ("evidence", "kind", "words"),
    [
        (Evidence(exit_status=3), "error", "exit status 3, and it said nothing"),
        (Evidence(exit_status=1, log_tail="Traceback\n\nKeyError: 'x'\n \n"), "error", "exit status 1: KeyError: 'x'"),
        (Evidence(exit_status=1, declared_kind="error", message="ValueError: no"), "error", "ValueError: no"),
        (Evidence(message="it cannot be started (no such file)"), "error", "it cannot be started (no such file)"),
        (Evidence(), "error", "it ended, and nothing says how"),
        (Evidence(exit_status=1, declared_kind="something new", message="words"), "error", "words"),
        (Evidence(signal=signal.SIGSEGV), "crash", "it crashed: a segmentation fault (SIGSEGV)"),
        (Evidence(signal=signal.SIGABRT), "crash", "it crashed: it gave up by itself (abort) (SIGABRT)"),
        (Evidence(signal=signal.SIGKILL), "crash", "it was killed from outside (SIGKILL)"),
        (Evidence(signal=signal.SIGUSR1), "crash", "it was ended by a signal (SIGUSR1)"),
        (Evidence(signal=41), "crash", "it was ended by a signal (signal 41)"),
        (Evidence(declared_kind="crash", message="its worker was killed"), "crash", "its worker was killed"),
        (Evidence(declared_kind="crash"), "crash", "its worker ended"),
        (Evidence(timed_out=True, signal=signal.SIGKILL), "timeout", "it ran into its time limit"),
        (Evidence(timed_out=True, exit_status=0), "timeout", "it ran into its time limit"),
        (Evidence(timed_out=True, exit_status=1, declared_kind="error", message="x"), "timeout", "it ran into"),
        (Evidence(exit_status=0, declared_kind="missing_output", message="left no x"), "missing_output", "left no x"),
        (Evidence(exit_status=1, declared_kind="bad_input", message="no frames"), "bad_input", "no frames"),
        (Evidence(exit_status=1, declared_kind="setup", message="no module x"), "setup", "no module x"),
    ],
)
def test_each_end_has_its_kind_and_its_words(evidence: Evidence, kind: str, words: str) -> None:
    found = recognise(evidence)
    assert found is not None
    assert found.name == kind
    assert found.say(evidence).startswith(words)


def test_a_good_end_is_no_failure() -> None:
    assert recognise(Evidence(exit_status=0, log_tail="error: everything is fine")) is None


def test_retries_follow_the_table() -> None:
    assert {kind.name: kind.retries for kind in KINDS} == {
        "setup": 0, "bad_input": 0, "disk_full": 0, "timeout": 1, "host_memory": 1, "gpu_memory": 1, "device": 2,
        "node_lost": 3, "crash": 1, "missing_output": 0, "error": None,
    }  # fmt: skip
    assert [name for name, kind in BY_NAME.items() if kind.stops_run] == ["setup", "disk_full"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "gpu_memory"),
        ("RuntimeError: HIP out of memory", "gpu_memory"),
        ("cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8 bytes (CUDA)", "gpu_memory"),
        ("onnxruntime: Failed to allocate memory for requested buffer of size 12", "gpu_memory"),
        ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "device"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "device"),
        ("CUDA error: unspecified launch failure", "device"),
        ("RuntimeError: No CUDA GPUs are available", "error"),
        ("OSError: [Errno 28] No space left on device: 'x'", "disk_full"),
        ("OSError: [Errno 122] Disk quota exceeded", "disk_full"),
        ("MemoryError", "error"),
        ("ValueError: the device is unlikely", "error"),
    ],
)
def test_a_kind_is_read_off_the_last_words(words: str, kind: str) -> None:
    """Of an attempt that failed; the line that shows it is the reason."""
    found = recognise(Evidence(exit_status=1, log_tail=f"Traceback (most recent call last):\n{words}"))
    assert found is not None
    assert found.name == kind
    assert words in found.say(Evidence(exit_status=1, log_tail=words))
    assert recognise(Evidence(exit_status=0, log_tail=words)) is None


def test_one_error_of_many_videos_is_noticed_once_and_only_without_success() -> None:
    """Names and numbers in the reason do not matter; one GPU alone proves nothing where there are more."""
    error = BY_NAME["error"]
    first, second = Device("gpu", "0"), Device("gpu", "1")
    same = SameError([Lane(0, first, 1), Lane(1, second, 1)])
    assert not same.failed(error, "exit status 1: no module x in a_1.mp4", 1, first, "a_1")
    assert not same.failed(error, "exit status 1: no module x in a_1.mp4", 1, first, "a_1")
    assert not same.failed(error, "exit status 1: other", 2, second, "b")
    assert not same.failed(error, "exit status 1: no module x in b_2.mp4", 2, first, "b_2")
    assert not same.failed(error, "exit status 1: no module x in c_3.mp4", 3, first, "c_3"), "all on one GPU"
    assert same.failed(error, "exit status 1: no module x in d_4.mp4", 4, second, "d_4")
    same.succeeded()
    assert not same.failed(error, "exit status 1: no module x in e_5.mp4", 5, second, "e_5")


@pytest.mark.parametrize(("lanes", "enough"), [(1, 3), (2, 3), (5, 5)])
def test_lanes_on_the_processor_need_no_second_witness(lanes: int, enough: int) -> None:
    """However far one of them is ahead of the others: three videos, or as many as there are lanes."""
    processor = Device("cpu", "")
    same = SameError([Lane(index, processor, 1) for index in range(lanes)])
    noticed = [same.failed(BY_NAME["error"], "exit status 1", position, processor) for position in range(enough)]
    assert noticed == [False] * (enough - 1) + [True]


def test_lanes_that_share_one_gpu_are_one_witness() -> None:
    gpus = Device("gpu", "0"), Device("gpu", "1")
    same = SameError([Lane(0, gpus[0], 1), Lane(1, gpus[0], 1), Lane(2, gpus[1], 1)])
    error = BY_NAME["error"]
    assert not any(same.failed(error, "exit status 1", position, gpus[0]) for position in range(5))
    assert same.failed(error, "exit status 1", 5, gpus[1])
