"""Jobs that one process forks behave as if each had been started by itself, and make the same."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from snakewebb.simulate import observation as simulate
from snakewebb.simulate.presets import preset
from snakewebb.workflow.warm import SHELL, Coming
from workflow import REPO, snakemake

PATIENCE = 60.0
STARTER = """
import sys
from snakewebb.workflow import warm
print(warm.start(), flush=True)
sys.stdin.read()
"""


FAILING = """
import os, sys
if "snakewebb.workflow.warm" in sys.orig_argv:
    known, calls = os.{0}, []
    def failing(*given):
        calls.append(given)
        if len(calls) > 1:
            raise OSError(11, "Resource temporarily unavailable")
        return known(*given)
    os.{0} = failing
"""


def environment(**given):
    return os.environ | {"PYTHONPATH": os.environ.get("SITE", str(REPO / "lib"))} | given


@pytest.fixture
def starter(tmp_path, request):
    """A process that started a server, and what it printed: the shell.

    A parameter is a function of ``os`` that fails in the server from its second call on.
    """
    if hasattr(request, "param"):
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(FAILING.format(request.param))
        paths = str(site), str(REPO / "lib")
        request.getfixturevalue("monkeypatch").setenv("SITE", os.pathsep.join(paths))
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(TMPDIR=str(tmp_path)),
        preexec_fn=heed_interrupts,
    )
    process.shell = process.stdout.readline().strip()
    with process:
        yield process
        process.kill()


def run(shell, script, text, **options):
    """Start what Snakemake would start for a script."""
    script.write_text(text)
    command = f"set -euo pipefail; {sys.executable} {script}"
    options |= {"preexec_fn": heed_interrupts}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([shell, "-c", command], env=environment(MINE="here"), **options)


def until(condition):
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def heed_interrupts():
    """Undo what background jobs of a shell hand down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_imports_are_those_of_the_next_jobs():
    coming = Coming({"/a/find.py": 2, "/a/align.py": 1, "/a/crf.py": 2, "/a/i2d.py": 1})
    told = [coming.next()]
    for script in ("find", "find", "other", "align", "crf", "crf", "i2d"):
        coming.begin(f"/b/tmp1x.{script}.py")
        told.append([path[3:-3] for path in coming.next()])
    assert told == [
        ["/a/find.py", "/a/align.py"],
        [],  # another of the same kind is to come
        *2 * [["align", "crf"]],
        ["crf", "i2d"],
        [],
        ["i2d"],
        [],
    ]


def server_of(starter):
    (server,) = psutil.Process(starter.pid).children()
    return server


def gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_job_is_a_child_of_the_server_and_has_all_it_would_have(starter, tmp_path):
    (tmp_path / "there").mkdir()
    job = run(
        starter.shell,
        tmp_path / "job.py",
        "import os, sys, threading, signal\n"
        "print(os.getppid(), os.getcwd(), os.environ['MINE'], __name__, sys.argv, sys.path[0])\n"
        "print(sys.stdin.read(), 'numba' in sys.modules, signal.getsignal(signal.SIGINT).__name__)",
        cwd=tmp_path / "there",
        stdin=subprocess.PIPE,
    )
    out, err = job.communicate("said")
    assert (job.returncode, err) == (0, "")
    parent, *rest = out.split()
    assert int(parent) == server_of(starter).pid
    script = str(tmp_path / "job.py")
    assert rest[:5] == [str(tmp_path / "there"), "here", "__main__", f"['{script}']", str(tmp_path)]
    assert rest[5:] == ["said", "True", "default_int_handler"]


def test_no_thread_and_no_stream_of_the_server_is_there_after_a_fork(starter, tmp_path):
    text = "import os\nprint(len(os.listdir('/proc/self/task')), len(os.listdir('/proc/self/fd')))"
    if not os.path.exists("/proc/self/task"):
        pytest.skip("needs /proc")
    for _ in range(3):
        out, _ = run(starter.shell, tmp_path / "job.py", text).communicate()
        # Three streams, and the folder that is listed.
        assert out.split() == ["1", "4"]
    assert server_of(starter).num_threads() == 1


@pytest.mark.parametrize(
    "text",
    [
        "raise SystemExit(3)",
        "raise SystemExit('in words')",
        "1 / 0",
        "import no_such_module",
        "not python",
        "import os; os._exit(7)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    ],
)
def test_a_job_ends_as_it_would_by_itself(starter, tmp_path, text):
    ends = []
    for shell in ("bash", starter.shell):
        job = run(shell, tmp_path / "job.py", text)
        _, err = job.communicate()
        code = job.returncode if job.returncode >= 0 else 128 - job.returncode
        ends.append((code, err.splitlines()[-1:]))
    assert ends[0] == ends[1]


def test_other_commands_are_those_of_bash(starter):
    command = "set -euo pipefail; echo $BASH_VERSION '$HOME' | tr a-z A-Z"
    done = subprocess.run([starter.shell, "-c", command], capture_output=True, text=True)
    plain = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == plain.stdout
    assert done.returncode == plain.returncode == 0


WAIT = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_the_shell_ends_the_job(starter, tmp_path, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever started the tests has jobs ignore it, as nohup does")
    shell = run(starter.shell, tmp_path / "job.py", WAIT)
    job = psutil.Process(int(shell.stdout.readline()))
    shell.send_signal(number)
    shell.communicate()
    until(lambda: gone(job))
    assert shell.returncode in (128 + number, -number)


def test_interrupting_all_ends_jobs_but_not_the_server(starter, tmp_path):
    shell = run(starter.shell, tmp_path / "job.py", WAIT)
    job, server = psutil.Process(int(shell.stdout.readline())), server_of(starter)
    for process in (psutil.Process(shell.pid), server, job):
        process.send_signal(signal.SIGINT)
    _, err = shell.communicate()
    assert shell.returncode == 130
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert not gone(server)


def test_jobs_of_a_run_that_ignores_interrupts_do_so(tmp_path):
    """As a run in the background of a script does."""
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment(TMPDIR=str(tmp_path)), **ignoring,
    ) as starter:  # fmt: skip
        script = tmp_path / "job.py"
        script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('here')")
        command = f"set -euo pipefail; {sys.executable} {script}"
        shell = starter.stdout.readline().strip()
        done = subprocess.run([shell, "-c", command], capture_output=True, text=True, **ignoring)
    assert (done.returncode, done.stdout) == (0, "here\n")


def test_without_the_server_jobs_start_by_themselves(starter, tmp_path):
    server = server_of(starter)
    working = run(starter.shell, tmp_path / "job.py", WAIT)
    job = psutil.Process(int(working.stdout.readline()))
    server.kill()
    assert working.wait(PATIENCE) == 128 + signal.SIGKILL, "nobody knows what came of it"
    job.kill()
    working.communicate()
    out, _ = run(starter.shell, tmp_path / "job.py", "print('done')").communicate()
    assert out == "done\n"


@pytest.mark.parametrize("starter", ["fork"], indirect=True)
def test_where_no_process_can_be_forked_others_go_on(starter, tmp_path):
    working = run(starter.shell, tmp_path / "job.py", "input()", stdin=subprocess.PIPE)
    server = server_of(starter)
    until(lambda: server.children())
    out, _ = run(starter.shell, tmp_path / "other.py", "print('done')").communicate()
    assert out == "done\n"
    working.communicate("\n")
    assert working.returncode == 0
    assert not gone(server)


@pytest.mark.parametrize("starter", ["waitpid"], indirect=True)
def test_a_run_whose_server_failed_goes_on(starter, tmp_path):
    server = server_of(starter)
    for text in ("", "", "print('done')"):
        out, _ = run(starter.shell, tmp_path / "job.py", text).communicate()
    assert gone(server)
    assert out == "done\n"


def test_what_a_server_does_not_take_heeds_interrupts(tmp_path):
    path = str(tmp_path / "socket")
    bash, text = shutil.which("bash"), "import signal; print(signal.getsignal(signal.SIGINT))"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        (tmp_path / "shell").write_text(
            f'#!/bin/sh\nexec {sys.executable} -I -S {SHELL} {bash} {sys.executable} {path} "$@"\n'
        )
        (tmp_path / "shell").chmod(0o700)
        job = run(str(tmp_path / "shell"), tmp_path / "job.py", text)
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 20)
        out, _ = job.communicate()
    assert "default_int_handler" in out


@pytest.mark.parametrize("killed", [False, True])
def test_nothing_outlives_the_run_but_its_jobs(starter, tmp_path, killed):
    """A job of a run that was killed goes on, as it would by itself, and then the server ends."""
    shell = run(starter.shell, tmp_path / "job.py", "import time; print(1, flush=True)\n"
                "time.sleep(1)\nopen('made', 'w')", cwd=tmp_path)  # fmt: skip
    shell.stdout.readline()
    server = server_of(starter)
    starter.kill() if killed else starter.stdin.close()
    until(lambda: gone(server))
    shell.communicate()
    assert shell.returncode == 0
    assert (tmp_path / "made").exists()
    assert not list(tmp_path.glob("snakewebb-*"))


def test_where_there_can_be_no_server_there_is_none(tmp_path):
    far = tmp_path / ("long" * 40)
    far.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", STARTER],
        input="",
        capture_output=True,
        text=True,
        env=environment(TMPDIR=str(far)),
    )
    assert done.stdout == "None\n"
    assert not list(far.iterdir())


def _note_pythons(folder, monkeypatch):
    """Return a file to which each Python that is started from now on adds how."""
    started, site = folder / "started.txt", folder / "site"
    site.mkdir()
    started.touch()
    note = f"import sys\nprint(*sys.orig_argv, file=open({str(started)!r}, 'a'))\n"
    (site / "sitecustomize.py").write_text(note)
    paths = [str(site), str(REPO / "lib"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return started


def test_products_are_the_same(tmp_path, monkeypatch):
    """Whether jobs are forked or start by themselves, on one core or on two."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    started = _note_pythons(tmp_path, monkeypatch)
    field = replace(preset("nircam-f356w", npix=96), stars=40, galaxies=0)
    asn = simulate.write(replace(field, dithers=field.dithers[:2]), tmp_path / "observation")
    found = []
    for name, warm in (("warm", True), ("plain", False)):
        folder = tmp_path / name
        folder.mkdir()
        snakemake(folder, "--cores", "1" if warm else "2", associations=[str(asn)], warm_start=warm)
        files = [path for path in (folder / "results").rglob("*") if path.is_file()]
        found.append(
            {
                str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in files
            }
        )
        jobs = [
            line for line in started.read_text().splitlines() if "/scripts/" in line.split()[-1]
        ]
        assert bool(jobs) != warm, jobs
        started.write_text("")
    assert found[0] == found[1]
