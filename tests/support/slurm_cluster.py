"""A Slurm cluster of several nodes on this machine, with GPUs that are none. It needs Debian's Slurm, munge, and root.

All daemons listen on the loopback; state, configuration and keys lie in one folder, and each daemon is ended by its
process number.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol")
_START_S = 60.0
_CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
MinJobAge=600
SlurmdTimeout=15
SlurmctldTimeout=15
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=4
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def why_not() -> str:
    """Why no cluster can be started here; empty where one can."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        return f"Slurm is not installed here: no {', '.join(missing)} (apt install slurm-wlm munge)"
    return "" if os.getuid() == 0 else "Slurm's daemons are started by root alone"


@dataclass
class SlurmCluster:
    """Nodes n1, n2 and so on, with four processors and two GPUs each."""

    folder: Path
    nodes: int = 3

    def __post_init__(self) -> None:
        for name in ("etc", "state", "log", "spool", "dev", "munge"):
            (self.folder / name).mkdir(parents=True, mode=0o755)
        self.folder.chmod(0o755)
        for index in range(2):  # a second and third /dev/null: slurmd wants devices
            os.mknod(self.folder / f"dev/gpu{index}", 0o20600, os.makedev(1, 3))
        key = self.folder / "munge/key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        controller, *ports = _free_ports(self.nodes + 1)
        nodes = [
            f"NodeName=n{number} NodeHostname={socket.gethostname().split('.')[0]} NodeAddr=127.0.0.1 Port={port} "
            "CPUs=4 RealMemory=8000 Gres=gpu:fake:2 State=UNKNOWN"
            for number, port in enumerate(ports, 1)
        ]
        host = socket.gethostname().split(".")[0]
        text = _CONFIGURATION.format(folder=self.folder, host=host, controller=controller, nodes="\n".join(nodes))
        self.configuration.write_text(text)
        gpus = "".join(f"NodeName=n{n} Name=gpu Type=fake File={self.folder}/dev/gpu[0-1]\n" for n in self._numbers())
        (self.folder / "etc/gres.conf").write_text(gpus)

    @property
    def configuration(self) -> Path:
        """What SLURM_CONF has to name."""
        return self.folder / "etc/slurm.conf"

    def _numbers(self) -> range:
        return range(1, self.nodes + 1)

    # ---- daemons

    def start(self) -> None:
        """Start all daemons and wait until every node is idle."""
        munge = self.folder / "munge"
        self._run(
            "munged", "--force", "--num-threads=2", f"--key-file={munge}/key", f"--socket={munge}/munge.sock",
            f"--pid-file={munge}/munged.pid", f"--log-file={munge}/munged.log", f"--seed-file={munge}/seed",
        )  # fmt: skip
        self._run("slurmctld", "-c", "-f", str(self.configuration))
        for number in self._numbers():
            self.start_node(f"n{number}")
        self.wait_until(lambda: self.ask("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * 2 * self.nodes)

    def start_node(self, name: str, *, blind_to: Path | None = None) -> None:
        """Start a node's daemon; ``blind_to`` is a folder in whose place it sees an empty one."""
        (self.folder / "spool" / name).mkdir(exist_ok=True)
        words = ["slurmd", "-N", name, "-f", str(self.configuration)]
        if blind_to:
            words = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(blind_to), *words]
        self._run(*words)

    def stop_node(self, name: str) -> None:
        """End a node's daemon."""
        _end(self.folder / f"slurmd.{name}.pid")

    def stop(self) -> None:
        """End all jobs, then all daemons."""
        with contextlib.suppress(subprocess.SubprocessError, AssertionError):
            self.end_jobs()
        for number in self._numbers():
            self.stop_node(f"n{number}")
        _end(self.folder / "slurmctld.pid")
        _end(self.folder / "munge/munged.pid")

    def end_jobs(self) -> None:
        """End all jobs."""
        for job in set(self.ask("squeue", "-h", "-o", "%A").split()):
            with contextlib.suppress(subprocess.CalledProcessError):  # it has just ended
                self.ask("scancel", job)
        self.wait_until(lambda: not self.ask("squeue", "-h").strip(), within_s=30)

    # ---- what a site's people do

    def ask(self, *words: str) -> str:
        """What one of Slurm's commands says."""
        return self._run(*words).stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env=environment)

    def elements(self, state: str = "") -> dict[str, str]:
        """Array elements that are not over: name → node; only those in a state where one is given."""
        said = self.ask("squeue", "-h", "-r", "-o", "%i|%N|%T|%j")
        found = [line.split("|") for line in said.splitlines()]
        return {name: node for name, node, is_in, job in found if "vidfleet" in job and state in ("", is_in)}

    def set_down(self, node: str) -> None:
        """Have a node taken for lost."""
        self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=a test")

    def bring_back(self, node: str) -> None:
        """Let it have jobs again; it may have come back by itself."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.ask("scontrol", "update", f"nodename={node}", "state=idle")

    def hasten(self) -> None:
        """Let what was put back into the queue start now: Slurm keeps it waiting for two minutes."""
        for line in self.ask("squeue", "-h", "-r", "-t", "PD", "-o", "%i|%r").splitlines():
            name, _, reason = line.partition("|")
            if reason == "BeginTime":
                with contextlib.suppress(subprocess.CalledProcessError):  # it has just begun
                    self.ask("scontrol", "update", f"jobid={name}", "StartTime=now")

    def wait_until(self, is_so: Callable[[], bool], *, within_s: float = _START_S) -> None:
        """Wait for something to become true."""
        until = time.monotonic() + within_s
        while not is_so():
            assert time.monotonic() < until, f"it did not come about; {self.ask('squeue', '-r')}"
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _end(pid_file: Path) -> None:
    """End the daemon whose number stands in a file, and wait for it."""
    try:
        process = psutil.Process(int(pid_file.read_text()))
    except (OSError, ValueError, psutil.NoSuchProcess):
        return
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(15)
        return
    process.kill()
