"""Takes an order for each video, forks, and tells how the fork ended. The fork returns from :func:`serve`.

One JSON object a line, both ways. Worker → zygote: ``load``, once; ``run``, with the writing end of the output's
pipe beside it; ``reap``. Zygote → worker: ``hello``; ``ready`` or ``unsafe``; for each ``run`` ``began``, by the fork
itself, ``ended``, when the fork is a zombie whose number cannot be given away yet, and after ``reap`` ``status``.
"""

from __future__ import annotations

import array
import gc
import json
import os
import socket
import sys
from typing import TYPE_CHECKING

from .load import Loading
from .safety import open_files, trouble

if TYPE_CHECKING:
    from typing import Any

_CHUNK = 1 << 16


class Link:
    """The worker, at the other end of a socket."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._buffer = b""
        self._output: int | None = None

    def fileno(self) -> int:
        """The socket's number."""
        return self._socket.fileno()

    def say(self, kind: str, **more: Any) -> None:  # noqa: ANN401 - plain JSON values
        """Send one message; without a worker there is nothing left to live for."""
        try:
            self._socket.sendall(json.dumps({"type": kind, **more}).encode("ascii") + b"\n")
        except OSError:
            os._exit(0)

    def hear(self) -> dict[str, Any]:
        """Wait for the next message."""
        while b"\n" not in self._buffer:
            try:
                data, passed, _, _ = self._socket.recvmsg(_CHUNK, socket.CMSG_LEN(array.array("i").itemsize))
            except OSError:
                data, passed = b"", []
            if not data:
                os._exit(0)
            self._buffer += data
            for level, kind, content in passed:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._output = array.array("i", content)[0]
        line, _, self._buffer = self._buffer.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def take_output(self) -> int:
        """The pipe that came with the last message."""
        fd, self._output = self._output, None
        return -1 if fd is None else fd

    def close(self) -> None:
        """Leave the worker to the zygote."""
        self._socket.close()


def serve(fd: int, before: frozenset[str]) -> None:
    """Load ahead, then fork for each order; returns in the forks only. ``before`` are modules that any Python loads."""
    link = Link(fd)
    link.say("hello")
    request = link.hear()
    loading = Loading(request["steps"], is_named=request["is_named"], loaded_before=before, own_files={link.fileno()})
    unsafe = loading.run()
    if unsafe:
        link.say("unsafe", reason=unsafe)
        link.hear()  # the worker ends us
    gc.collect()
    if hasattr(gc, "freeze"):  # what was loaded is not looked through again in any fork
        gc.freeze()
    link.say("ready")
    while _serve_one(link, loading):
        pass


def _serve_one(link: Link, loading: Loading) -> bool:
    """Run one video; False in the fork, which goes on to the script."""
    order, output = link.hear(), link.take_output()
    unsafe = trouble({link.fileno(), output})
    if unsafe:
        link.say("unsafe", reason="what was loaded " + unsafe)
        link.hear()
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(link, loading, order["argv"], output, zygote)
        return False
    os.close(output)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    link.say("ended", pid=pid)
    link.hear()
    _, status, usage = os.wait4(pid, 0)
    link.say("status", status=status, cpu_s=usage.ru_utime + usage.ru_stime, peak_memory_kib=usage.ru_maxrss)
    return True


def _become(link: Link, loading: Loading, argv: list[str], output: int, zygote: int) -> None:
    """In the fork: be what the interpreter would be, had it started by itself with ``argv``."""
    os.setsid()
    loading.libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL: nothing stays when the zygote goes
    if os.getppid() != zygote:
        os._exit(1)
    link.say("began", pid=os.getpid())
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    link.close()
    _open_again()
    sys.argv[:] = argv[1:]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = argv
    loading.give_back()


def _open_again() -> None:
    """Give this process its own place in each file that a module keeps open."""
    for fd, flags in open_files():
        place, inherits = os.lseek(fd, 0, os.SEEK_CUR), os.get_inheritable(fd)
        own = os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)
        os.lseek(own, place, os.SEEK_SET)
        os.dup2(own, fd, inherits)
        os.close(own)
