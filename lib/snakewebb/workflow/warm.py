"""Jobs as children of one process that has imported what they need: a twentieth of a second each.

A job by itself is a new Python that imports NumPy, astropy.io.fits and numba, which takes half a
second. Here a *server* imports them once, and forks for each job. Snakemake calls a shell, as
always; that shell is `snakewebb.workflow.warm_shell`, which asks the server for scripts of Python
and hands all else to bash, and scripts too where there is no server any more. So whatever Snakemake
does with a job, it does with a process of that job's own, whose end and exit code are the job's.

While jobs are at work the server imports what the next ones need (`Coming`).

The server lives as long as the process that started it, and its jobs. It is started by the
workflow (`onstart`) for runs on this machine only; jobs on a cluster, in an environment of conda or
in a container start by themselves, and make the same bytes.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from itertools import islice, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from snakewebb.startup import import_fits
from snakewebb.workflow.digest import imports

SHELL = Path(__file__).with_name("warm_shell.py")
PATIENCE = 10.0
"""Seconds that one of the processes waits for another."""
AHEAD = 2
"""Scripts whose imports are made before they are asked for: a catalogue and quality at once."""
SHARED = "snakewebb.jobs.", "snakewebb.report."
"""What of a script's imports its next jobs find done; not what makes a job of it."""


def scripts_of(workflow: Any) -> dict[str, int]:
    """Return the scripts of a run's jobs, in the order of rules, and how many jobs have each."""
    jobs = Counter(job.rule.name for job in workflow.dag.needrun_jobs())
    scripts: Counter[str] = Counter()
    for rule in workflow.rules:
        if jobs[rule.name] and rule.script:
            path = rule.basedir.join(rule.script).get_path_or_uri(secret_free=True)
            scripts[path] += jobs[rule.name]
    return dict(scripts)


def start(scripts: Mapping[str, int] = MappingProxyType({})) -> str | None:
    """Start a server that lives as long as this process; return the shell that asks it for jobs.

    Parameters
    ----------
    scripts : mapping
        What `scripts_of` returns: what jobs need is imported while those before them are at work.

    Returns
    -------
    str or None
        A path, the name of which is bash: Snakemake then says the same to it. None where there
        cannot be a server, as on a file system without sockets.
    """
    folder = Path(tempfile.mkdtemp(prefix="snakewebb-"))
    shell, bash = folder / "bash", shutil.which("bash") or "/bin/bash"
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "socket"))
        listener.listen(128)
        words = [sys.executable, "-I", "-S", str(SHELL), bash, sys.executable, f"{folder}/socket"]
        shell.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        shell.chmod(stat.S_IRWXU)
        if not os.access(shell, os.X_OK):
            raise OSError("programs cannot be started there")
    except OSError:
        shutil.rmtree(folder)
        return None
    # The end of this process, however it comes, closes the pipe.
    life, kept = os.pipe()
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            __name__,
            str(listener.fileno()),
            str(life),
            str(folder),
            json.dumps(dict(scripts)),
        ],
        # A thread of NumPy's would not be there after a fork.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        pass_fds=(listener.fileno(), life),
        stdin=subprocess.DEVNULL,
    )
    listener.close()
    os.close(life)
    atexit.register(_stop, server, kept)
    return str(shell)


def _stop(server: subprocess.Popen, life: int) -> None:
    os.close(life)
    # Jobs of a run that was interrupted may need a moment.
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(PATIENCE)


def main(listening: int, life: int, folder: str, scripts: dict[str, int]) -> None:
    """Be the server, or one of its children: then do a job as if it was started by itself."""
    gc.disable()
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_fits()
    # What the preamble that Snakemake puts before a script asks for, then most scripts, and NumPy
    # itself once a median is taken.
    preamble = "snakemake.iocontainers", "snakemake.logging"
    for module in (*preamble, "snakewebb.kernels.cache", "numpy.ma"):
        importlib.import_module(module)

    server = _Server(socket.socket(fileno=listening), life, interrupt, scripts)
    if script := server.serve():
        runpy.run_path(script, run_name="__main__")
    else:
        # Not where the server fails: the run goes on, and needs its shell.
        shutil.rmtree(folder, ignore_errors=True)
    _leave()


def _leave() -> None:
    """End this process, but leave its objects to the system.

    Python would take them apart one by one: a tenth of a second or two, and nearly all that a job
    shares with the server would be copied for it.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


class _Request(NamedTuple):
    """What a shell asks for: a script to be run as it would be from there."""

    script: str
    folder: str
    umask: int
    environment: dict[str, str]


class Coming:
    """The jobs that are to come, as `scripts_of` tells: what they need can be imported now."""

    def __init__(self, scripts: Mapping[str, int]):
        self._paths = {Path(path).stem: path for path in scripts}
        self._numbers = {Path(path).stem: number for path, number in scripts.items()}
        self._begun: set[str] = set()

    def begin(self, script: str) -> None:
        """Note that a job of a script begins: of Snakemake's copy, with a word before its name."""
        name = Path(script).stem.rpartition(".")[2]
        self._begun.add(name)
        self._numbers[name] = self._numbers.get(name, 0) - 1
        if self._numbers[name] <= 0:
            del self._numbers[name]

    def next(self) -> list[str]:
        """Return the next scripts, unless jobs are to come of those before them, which are begun.

        Those would hold what they do not need.
        """
        names = islice(self._numbers, AHEAD)
        return [self._paths[name] for name in takewhile(lambda n: n not in self._begun, names)]


class _Server:
    """Forks for jobs, one process and one thread, until its starter and all jobs have ended."""

    def __init__(
        self, listener: socket.socket, life: int, interrupt: Any, scripts: Mapping[str, int]
    ):
        self._listener, self._life = listener, life
        self._coming = Coming(scripts)
        self._interrupt = interrupt  # what jobs do on SIGINT: nothing where a run has no terminal
        self._jobs: dict[int, socket.socket] = {}
        self._known: set[str] = set()
        self._imported: set[str] = set()
        self._selector = selectors.DefaultSelector()
        self._ended, wake = socket.socketpair()
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake.fileno())
        self._wake = wake
        for each in (listener, life, self._ended):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> str | None:
        """Return the script of a job in its process, None in the server's at its end."""
        alive = True
        while alive or self._jobs:
            scripts = [path for path in self._coming.next() if path not in self._imported]
            events = self._selector.select(0 if scripts else None)
            if not events and scripts:
                self._import(scripts[0])
            for key, _ in events:
                if key.fileobj is self._listener:
                    if script := self._accept():
                        return script
                elif key.fileobj is self._ended:
                    self._ended.recv(4096)
                    self._reap()
                elif key.fileobj == self._life:
                    alive = False
                    self._selector.unregister(self._life)
                    self._selector.unregister(self._listener)
                    self._listener.close()
                else:
                    self._end(key.data)
        return None

    def _accept(self) -> str | None:
        connection, _ = self._listener.accept()
        connection.settimeout(PATIENCE)
        try:
            request, streams = _receive(connection)
        except (OSError, ValueError):
            connection.close()
            return None
        self._coming.begin(request.script)
        self._import(request.script)
        gc.freeze()
        try:
            pid = os.fork()
        except OSError:  # no room for a process: its shell tries by itself, and says what is wrong
            pid = None
        if pid == 0:
            self._become(request, streams)
            return request.script
        for stream in streams:
            os.close(stream)
        if pid is None:
            connection.close()
            return None
        with contextlib.suppress(OSError):
            connection.sendall(f"{pid}\n".encode())
        self._jobs[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, pid)
        return None

    def _import(self, script: str) -> None:
        """Import what a script does, so that it and its like find it done.

        Whatever is wrong with it, the job will find out and say.
        """
        self._imported.add(script)
        with contextlib.suppress(Exception):
            wanted = {module for module, _ in imports(Path(script).read_text(encoding="utf-8"))}
            for module in wanted - self._known:
                self._known.add(module)
                if module.startswith(SHARED):
                    signal.signal(signal.SIGINT, self._interrupt)
                    with contextlib.suppress(KeyboardInterrupt):
                        importlib.import_module(module)
                    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _become(self, request: _Request, streams: list[int]) -> None:
        """Be a job's process and nothing else."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, self._interrupt)
        self._selector.close()
        for each in (self._listener, self._ended, self._wake, *self._jobs.values()):
            each.close()
        os.close(self._life)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request.folder)
        os.umask(request.umask)
        os.environ.clear()
        os.environ.update(request.environment)
        tempfile.tempdir = None
        sys.argv = [request.script]
        sys.path[0] = os.path.dirname(request.script)

    def _reap(self) -> None:
        """Tell what came of jobs that have ended."""
        while self._jobs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            connection = self._jobs.pop(pid)
            self._forget(connection)
            with contextlib.suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            connection.close()

    def _end(self, pid: int) -> None:
        """End a job whose shell was killed."""
        if pid in self._jobs:
            self._forget(self._jobs[pid])
            os.kill(pid, signal.SIGKILL)

    def _forget(self, connection: socket.socket) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection)


def _receive(connection: socket.socket) -> tuple[_Request, list[int]]:
    """Return what a shell asks for, and the streams that its job shall have."""
    start, streams, _, _ = socket.recv_fds(connection, 65536, 3)
    with connection.makefile("rb") as file:
        size, _, start = start.partition(b"\n")
        text = start + file.read(int(size) - len(start))
    script, folder, umask, *environment = map(os.fsdecode, text.split(b"\0"))
    variables = (variable.partition("=") for variable in environment)
    request = _Request(script, folder, int(umask), {name: value for name, _, value in variables})
    return request, streams


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
