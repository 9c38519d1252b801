"""A real SLURM of one node on the loopback, all its state in a folder, for tests."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path

CONF = Path("/etc/slurm/slurm.conf")
"""Where SLURM's programs look: jobs do not inherit another place from their environment."""

TEMPLATE = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
EnforcePartLimits=ALL
KillWait=5
SlurmctldTimeout=60
SchedulerParameters=batch_sched_delay=1,sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    """Return a port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """munge, the controller and one node; memory limits are enforced by the node's polling."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}
        for name in ("state", "spool"):
            (folder / name).mkdir()
        path = os.pathsep.join(["/usr/sbin", os.environ["PATH"]])
        self.environment = os.environ | {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
        (folder / "slurm.conf").write_text(
            TEMPLATE.format(
                folder=folder,
                host=socket.gethostname().split(".")[0],
                controller_port=free_port(),
                node_port=free_port(),
                cpus=os.cpu_count(),
                memory=int(0.9 * memory),
            )
        )

    def __enter__(self):
        try:
            CONF.parent.mkdir(exist_ok=True)
            CONF.symlink_to(self.folder / "slurm.conf")
            self._start_munge()
            self.start_controller()
            self._start("slurmd", "slurmd", "-D")
            self._wait(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"), "the node is idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        if "slurmctld" in self.processes:
            with contextlib.suppress(subprocess.CalledProcessError, TimeoutError):
                self.run("scancel", "--partition=main")
                self._wait(lambda: not self.queue(), "the queue is empty")
        for name in reversed(list(self.processes)):
            self.stop(name)
        if CONF.is_symlink() and CONF.readlink() == self.folder / "slurm.conf":
            CONF.unlink()

    def run(self, *command: str) -> str:
        """Return what one of SLURM's commands prints."""
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def queue(self) -> list[str]:
        """Return the comments of all jobs that wait or run; they name their rules."""
        return self.run("squeue", "-h", "-o", "%k").split()

    def start_controller(self) -> None:
        """Start the controller, for the first time or with the state of its predecessor."""
        self._start("slurmctld", "slurmctld", "-D")
        self._wait(lambda: "UP" in self.run("scontrol", "ping"), "the controller is up")

    def kill_controller(self) -> None:
        """Kill the controller when it has written down all that it knows of jobs.

        It does so every five seconds. A job that begins or ends between that and its death is known
        to the node alone, and may hang for ever.
        """
        process = self.processes["slurmctld"]

        def at_rest():
            process.send_signal(signal.SIGSTOP)
            log = (self.folder / "slurmctld.log").read_text()
            events = re.findall(r"^\[(\S+)\] .*JobId=", log, re.MULTILINE)
            written = (self.folder / "state" / "job_state").stat().st_mtime
            # What it writes it has gathered a moment before.
            if datetime.fromisoformat(events[-1]).timestamp() + 0.5 < written:
                return True
            process.send_signal(signal.SIGCONT)
            return False

        self._wait(at_rest, "the controller is at rest", seconds=300)
        self.stop("slurmctld")

    def stop(self, name: str) -> None:
        """Kill a process at once."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"key": key}
        files |= {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        options = [
            f"--{option}={files[name]}"
            for option, name in (
                ("key-file", "key"),
                ("socket", "socket"),
                ("pid-file", "pid"),
                ("log-file", "log"),
                ("seed-file", "seed"),
            )
        ]
        # The folder of a test is private, which munged takes for a mistake.
        self._start("munged", "munged", "--foreground", "--force", *options)
        self._wait(files["socket"].exists, "munged listens")

    def _start(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out", "a") as output:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output
            )

    def _wait(self, done, what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(subprocess.CalledProcessError):
                if done():
                    return
            time.sleep(0.2)
        logs = [f"{path.name}:\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log")]
        raise TimeoutError(f"after {seconds:.0f} s it is not so that {what}\n" + "\n".join(logs))
