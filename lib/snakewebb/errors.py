"""What the user can mend."""

import sys
from typing import NoReturn

LONGEST = 600
"""Characters of a message; what is left out of a longer one is its middle."""


class InputError(ValueError):
    """Something in the user's files or parameters, told in one line.

    The message reads ``<file, exposure or parameter>: what is wrong: what to do``. What it quotes
    may hold anything: line breaks and other unprintable characters become blanks, and values of
    any length are cut.
    """

    def __init__(self, message: object):
        line = "".join(c if c.isprintable() else " " for c in str(message))
        if len(line) > LONGEST:
            line = f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
        super().__init__(line)


def reason(error: Exception) -> str:
    """Return what an exception says; of the system's without the path, which it would repeat."""
    return str(getattr(error, "strerror", None) or error)


def tell(message: object) -> None:
    """Say something to the user, in one line."""
    print(f"snakewebb: {InputError(message)}", file=sys.stderr)


def give_up(message: object) -> NoReturn:
    """End with one line."""
    sys.exit(f"snakewebb: {message}")
