"""The shell that Snakemake calls for a job, see `snakewebb.workflow.warm`.

Called as ``python -I -S warm_shell.py BASH PYTHON SOCKET -c COMMAND`` and started for every job, so
it imports hardly anything. Standard library only.
"""

# Not socket and signal, which are these with enumerations, nor json: as long as Python's own start.
import _signal as signal
import _socket as socket
import os
import sys


def main(bash: str, python: str, path: str, *arguments: str) -> None:
    """Have a script run by the server, and end as it does; give anything else to bash."""
    words = split(arguments[1]) if len(arguments) == 2 else []
    # What Snakemake says to bash.
    if words[:4] == ["set", "-euo", "pipefail;", python] and len(words) == 5:
        ask(path, words[4])
    os.execv(bash, ["bash", *arguments])


def split(command: str) -> list[str]:
    """Return the words of a command, for which ``shlex`` is wanted where there are quotes."""
    if not {*command} & {*"'\"\\"}:
        return command.split()
    import shlex

    return shlex.split(command)


def ask(path: str, script: str) -> None:
    """Have a script run by the server, and end as it does; return if there is none."""
    umask = os.umask(0)
    os.umask(umask)
    environment = (b"%b=%b" % item for item in os.environb.items())
    request = b"\0".join((os.fsencode(script), os.getcwdb(), b"%d" % umask, *environment))
    streams = b"".join(stream.to_bytes(4, sys.byteorder) for stream in (0, 1, 2))
    pid, interrupt = b"", signal.getsignal(signal.SIGINT)
    try:
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        rights = socket.SOL_SOCKET, socket.SCM_RIGHTS, streams
        server.sendmsg([b"%d\n" % len(request)], [rights])
        server.sendall(request)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the job gets it, too
        pid = answer(server)
    except OSError:
        pass
    if not pid:
        signal.signal(signal.SIGINT, interrupt)
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os.kill(int(pid), number))
    # Without an answer the server was killed; of the job nothing is known.
    code = int(answer(server) or -signal.SIGKILL)
    sys.exit(code if code >= 0 else 128 - code)


def answer(server: socket.socket) -> bytes:
    """Return a line that the server says; what there is of it if it was killed."""
    line = b""
    while not line.endswith(b"\n") and (more := server.recv(1)):
        line += more
    return line


if __name__ == "__main__":
    main(*sys.argv[1:])
