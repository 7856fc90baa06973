"""A SLURM cluster of one machine: the real daemons, with ports, state and key of their own in a folder.

What is not there is pretended: cores, so that the defaults of a script fit, and two GPUs, which lead to /dev/null.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator

DAEMONS = ("munged", "slurmctld", "slurmd")

# cred_expire: a job that was requeued waits as long before it starts again, two minutes unless it is set.
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
GresTypes=gpu
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs=64 Gres=gpu:2
PartitionName=train Nodes=ALL Default=YES PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=2
"""


def missing() -> str:
    """Why there can be no cluster here; empty where there can."""
    if os.geteuid():
        return "SLURM's daemons are started as root"
    lacking = [name for name in (*DAEMONS, "sbatch") if not shutil.which(name, path=_path())]
    return f"no {', '.join(lacking)}: apt-get install slurm-wlm munge" if lacking else ""


class Cluster:
    """`cluster.submit("--time=1", "script.sbatch", "argument")` is a job's number; its log is `cluster.log(number)`."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str]):
        self.folder = folder
        self.environment = environment | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path(environment)}

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def submit(self, *arguments: str) -> str:
        array = any(argument.startswith("--array") for argument in arguments)
        name = "%A_%a" if array else "%j"
        return self.call("sbatch", "--parsable", f"--output={self.folder}/{name}.log", *arguments)

    def log(self, job: str) -> str:
        """What the job has said; of an array, its tasks one after the other."""
        logs = [self.folder / f"{job}.log", *sorted(self.folder.glob(f"{job}_*.log"))]
        return "".join(log.read_text() for log in logs if log.exists())

    def state(self, job: str) -> str:
        """In one word, for instance RUNNING; of an array, that of its tasks."""
        lines = self.call("scontrol", "--oneliner", "show", "job", job).splitlines()
        return " ".join(dict(f.split("=", 1) for f in line.split() if "=" in f)["JobState"] for line in lines)

    def wait_for(self, job: str, condition: Callable[[], bool], seconds: float = 480) -> None:
        """Until the condition holds; a job that fails, or minutes, end the waiting with the log."""
        deadline = time.monotonic() + seconds
        while not condition():
            state = self.state(job)
            assert "FAILED" not in state, self.log(job)
            assert time.monotonic() < deadline, (state, self.log(job))
            time.sleep(0.2)


@contextlib.contextmanager
def running(folder: pathlib.Path, environment: dict[str, str]) -> Iterator[Cluster]:
    """A cluster whose jobs see the environment; whatever happens, its jobs and daemons are ended."""
    cluster = Cluster(folder, environment)
    _write_configuration(folder)
    daemons: list[subprocess.Popen] = []
    with (folder / "daemons.log").open("w") as output, contextlib.ExitStack() as stack:

        def start(*command: str) -> None:
            daemon = subprocess.Popen(command, env=cluster.environment, stdout=output, stderr=subprocess.STDOUT)
            daemons.append(daemon)
            stack.callback(_end, daemon)

        files = {name: f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")}
        start("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files.values())
        _wait(lambda: (folder / "munge.socket").exists(), daemons, folder)
        start("slurmctld", "-D", "-f", f"{folder}/slurm.conf")
        start("slurmd", "-D", "-f", f"{folder}/slurm.conf")
        _wait(lambda: cluster_is_idle(cluster), daemons, folder)
        stack.callback(_end_jobs, cluster)
        yield cluster


def cluster_is_idle(cluster: Cluster) -> bool:
    sinfo = ["sinfo", "--noheader", "--format=%t"]
    done = subprocess.run(sinfo, env=cluster.environment, capture_output=True, text=True, timeout=60)
    return set(done.stdout.split()) == {"idle"}


def _write_configuration(folder: pathlib.Path) -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        ports = [free.getsockname()[1] for free in sockets]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    (folder / "slurm.conf").write_text(CONF.format(host=socket.gethostname(), ports=ports, folder=folder))
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1] Flags=nvidia_gpu_env\n")
    for index in range(2):
        os.mknod(folder / f"gpu{index}", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def _path(environment: dict[str, str] | None = None) -> str:
    return f"{(os.environ if environment is None else environment).get('PATH', '')}:/usr/sbin:/sbin"


def _wait(condition: Callable[[], bool], daemons: list[subprocess.Popen], folder: pathlib.Path) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        ended = [daemon.args for daemon in daemons if daemon.poll() is not None]
        assert not ended, (ended, (folder / "daemons.log").read_text())
        assert time.monotonic() < deadline, (folder / "daemons.log").read_text()
        time.sleep(0.1)


def _end_jobs(cluster: Cluster) -> None:
    """No process of a job outlives the test; those that do not end by themselves are killed with their step."""
    deadline = time.monotonic() + 40

    def say(*command: str) -> str:
        return subprocess.run(command, env=cluster.environment, capture_output=True, text=True).stdout

    while (jobs := say("squeue", "--noheader", "--format=%i").split()) and time.monotonic() < deadline:
        say("scancel", "--full", "--signal=KILL", *jobs)
        say("scancel", *jobs)
        time.sleep(0.5)


def _end(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
