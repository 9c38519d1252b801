"""The shell that Snakemake calls for a job, see `snakewebb.workflow.warm`.

Called as ``python -I -S warm_shell.py BASH PYTHON SOCKET -c COMMAND`` and started for every job, so
it imports hardly anything. Standard library only.
"""

import os
import signal
import sys
from shlex import split


def main(bash: str, python: str, path: str, *arguments: str) -> None:
    """Have a script run by the server, and end as it does; give anything else to bash."""
    words = split(arguments[1]) if len(arguments) == 2 else []
    # What Snakemake says to bash.
    if words[:4] == ["set", "-euo", "pipefail;", python] and len(words) == 5:
        ask(path, words[4])
    os.execv(bash, ["bash", *arguments])


def ask(path: str, script: str) -> None:
    """Have a script run by the server, and end as it does; return if there is none."""
    import json
    import socket

    umask = os.umask(0)
    os.umask(umask)
    request = {
        "script": script,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask,
    }
    text = json.dumps(request).encode()
    try:
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        socket.send_fds(server, [f"{len(text)}\n".encode()], [0, 1, 2])
        server.sendall(text)
        answers = server.makefile()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the job gets it, too
        pid = answers.readline()
    except OSError:
        return
    if not pid:
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os.kill(int(pid), number))
    # Without an answer the server was killed; of the job nothing is known.
    code = int(answers.readline() or -signal.SIGKILL)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(*sys.argv[1:])
