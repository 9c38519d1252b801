"""Mutations of valid files, and what a reader may make of them.

Each case is made from a reader's name and a number alone. A reader either refuses a file in one
line (`InputError`), or what it returns is right: equal to what it makes of the valid file in all
that was not touched, and within its bounds in what was.

    PYTHONPATH=lib:tests python tests/mutations.py [READER [NUMBER …]]

runs all readers, one of them, or single cases of it, and prints what fails.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.utils.exceptions import AstropyWarning

from snakewebb.errors import LONGEST, InputError

LIMIT = 10.0
"""Seconds that a case may take."""


@dataclass(frozen=True)
class Mutant:
    """A mutated file.

    Attributes
    ----------
    what : str
        What was done.
    content : object
        As the reader's `write` takes it.
    verdict : {"either", "same", "refused"}
        Whether the file must be read, must be refused, or may be either.
    touched : collection of str, optional
        Parts of the result that may change within their bounds; None: all.
    expected : mapping
        Parts of the result that are to change, with their new values.
    """

    what: str
    content: Any
    verdict: str = "either"
    touched: Collection[str] | None = ()
    expected: Mapping[str, Any] = field(default_factory=dict)


Mutation = Callable[[random.Random, Any], Mutant]


@dataclass(frozen=True)
class Reader:
    """A reader of the library.

    Attributes
    ----------
    name : str
    file : str
        Name of the file that it reads.
    number : int
        Of cases by default.
    valid : callable
        Takes a folder where files may be written, returns what mutations and `read` need; once.
    content : callable
        Takes the same, returns the content of the valid file.
    mutations : sequence of callables
        Each takes a generator of random numbers and what `valid` returned. Taken in turn.
    read : callable
        Takes the path and what `valid` returned; returns the result, by part.
    bounds : mapping
        By part of the result (or the beginning of its name): whether it makes sense.
    outcomes : tuple of exception types
        What else than `InputError` says that a file has nothing for the reader.
    names : sequence of str
        What a message may name instead of the file.
    """

    name: str
    file: str
    number: int
    valid: Callable[[Path], Any]
    content: Callable[[Any], Any]
    mutations: Sequence[Mutation]
    read: Callable[[Path, Any], Mapping[str, Any]]
    bounds: Mapping[str, Callable[[Any], bool]]
    outcomes: tuple[type[Exception], ...] = ()
    names: Sequence[str] = ()


class Hang(BaseException):
    """A case takes too long."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the main thread after some time."""

    def ring(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Trial:
    """A reader with its valid file, ready for cases."""

    def __init__(self, reader: Reader, folder: Path):
        self.reader, self.folder = reader, folder
        self.valid = reader.valid(folder)
        with self._file("valid", reader.content(self.valid)) as path:
            self.result = dict(reader.read(path, self.valid))
        wrong = [part for part, value in self.result.items() if not self._sensible(part, value)]
        assert not wrong, f"{reader.name}: of the valid file, {wrong} are out of bounds"

    def mutant(self, number: int) -> Mutant:
        """Make a case."""
        rng = random.Random(f"{self.reader.name} {number}")
        rng.number = number  # to take things in turn
        mutations = self.reader.mutations
        return mutations[number % len(mutations)](rng, self.valid)

    def fault(self, number: int) -> str:
        """Run a case; return what is wrong, empty if nothing is."""
        mutant = self.mutant(number)
        with self._file(str(number), mutant.content) as path:
            trouble = self._judged(mutant, path)
        if not trouble:
            return ""
        return f"{self.reader.name} {number}: {shortened(mutant.what)}: {shortened(trouble)}"

    def faults(self, numbers: Sequence[int]) -> list[str]:
        """Run cases; return what is wrong with them."""
        return [fault for fault in map(self.fault, numbers) if fault]

    def _judged(self, mutant: Mutant, path: Path) -> str:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", ResourceWarning)
            # What astropy says of a broken header goes to the job's log.
            warnings.simplefilter("ignore", AstropyWarning)
            try:
                with limited(LIMIT):
                    result = self.reader.read(path, self.valid)
            except InputError as error:
                trouble = wrong_message(str(error), (path.name, *self.reader.names))
                if mutant.verdict == "same":
                    trouble = f"does no harm, but is refused: {error}"
            except self.reader.outcomes as error:
                trouble = wrong_message(f"{error}: ", (path.name, *self.reader.names))
                if mutant.verdict == "same":
                    trouble = f"does no harm, but nothing is found: {error}"
            except Hang:
                trouble = f"takes more than {LIMIT:g} s"
            except Exception as error:  # what this test is for
                trouble = f"{type(error).__name__}: {error}"
            else:
                trouble = self._wrong_result(mutant, result)
        if told and not trouble:
            trouble = f"{len(told)} warnings, as {shortened(str(told[0].message))}"
        return trouble

    def _wrong_result(self, mutant: Mutant, result: Mapping[str, Any]) -> str:
        if mutant.verdict == "refused":
            return f"is accepted: {shortened(result)}"
        for part, value in result.items():
            if not self._sensible(part, value):
                return f"{part} makes no sense: {shortened(value)}"
            free = mutant.touched is None or part in mutant.touched
            if part in mutant.expected or not free:
                expected = mutant.expected.get(part, self.result.get(part))
                if not alike(value, expected):
                    return f"{part} is {shortened(value)}, not {shortened(expected)}"
        return ""

    def _sensible(self, part: str, value: Any) -> bool:
        bounds = self.reader.bounds
        key = next(key for key in (part, part.partition(".")[0], "") if key in bounds)
        try:
            return bool(bounds[key](value))
        except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError):
            return False

    @contextlib.contextmanager
    def _file(self, case: str, content: Any) -> Iterator[Path]:
        """Write a file in a folder of its own: what is read may be remembered by path."""
        folder = self.folder / f"{self.reader.name}-{case}"
        folder.mkdir()
        path = folder / self.reader.file
        try:
            path.write_bytes(content)
            yield path
        finally:
            shutil.rmtree(folder)


def wrong_message(text: str, names: Sequence[str]) -> str:
    """Return what is wrong with a message to the user, empty if nothing is."""
    if len(text.splitlines()) != 1:
        return f"a message of several lines: {text!r}"
    if len(text) > LONGEST + 3:
        return f"a message of {len(text)} characters: {text}"
    if text.count(": ") < 2:
        return f"a message that is not 'what: why: what to do': {text}"
    if not any(name in text for name in names):
        return f"a message that does not name the file: {text}"
    return ""


def shortened(value: Any) -> str:
    """Return a value in one line of at most 300 characters."""
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def alike(one: Any, other: Any) -> bool:
    """Return whether two results are equal, floats to a millionth and NaN to NaN."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, str | bool | None) or isinstance(other, str | bool | None):
        return type(one) is type(other) and one == other
    try:
        first, second = np.asarray(one, float), np.asarray(other, float)
    except (TypeError, ValueError):  # lists of texts, objects
        return one == other
    return first.shape == second.shape and np.allclose(
        first, second, rtol=1e-6, atol=1e-12, equal_nan=True
    )


# --- bounds ---------------------------------------------------------------------------------------


def within(low: float, high: float, *, none: bool = False) -> Callable[[Any], bool]:
    """Return whether a value is a number, or an array of them, within bounds; or perhaps None."""

    def sensible(value):
        if value is None:
            return none
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            return False
        return bool(np.all((array >= low) & (array <= high)))

    return sensible


def words(value: Any) -> bool:
    """Return whether a value is a text of one line, or None."""
    return value is None or (isinstance(value, str) and len(value.splitlines()) < 2)


def anything(_: Any) -> bool:
    """Return True."""
    return True


# --- mutations of bytes ---------------------------------------------------------------------------


def damage(content: bytes, rng: random.Random, *, step: int = 1) -> tuple[str, bytes]:
    """Return what was done to bytes, and these bytes: cut, emptied, lost, doubled, overwritten."""
    start = rng.randrange(0, max(len(content) - step, 1), step)
    stop = min(start + rng.choice((1, 8, 80, 1000)) * step, len(content))
    lost = rng.randrange(1, 200)
    kinds = {
        "empty": b"",
        "text": b"hello\n",
        "zeros": bytes(len(content)),
        f"cut at {start}": content[:start],
        f"bytes {start} to {stop} lost": content[:start] + content[stop:],
        f"bytes {start} to {stop} doubled": content[:stop] + content[start:],
        f"bytes {start} to {stop} zero": content[:start] + bytes(stop - start) + content[stop:],
        f"bytes {start} to {stop} random": content[:start]
        + rng.randbytes(stop - start)
        + content[stop:],
        f"{lost} bytes lost before its end": content[:-lost],
    }
    what = rng.choice(list(kinds))
    return what, kinds[what]


def bit(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Return what was done to bytes, and these bytes: single ones changed."""
    changed = bytearray(content)
    places = [rng.randrange(len(content)) for _ in range(rng.choice((1, 3, 10)))]
    for place in places:
        changed[place] = rng.randrange(256)
    return f"bytes {places} changed", bytes(changed)


def main() -> None:
    """Run what the command line names."""
    import sys
    import tempfile
    import time

    from mutated import READERS

    names = sys.argv[1:2] or list(READERS)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            began = time.process_time()
            trial = Trial(READERS[name], Path(folder))
            numbers = [int(each) for each in sys.argv[2:]] or range(READERS[name].number)
            made = time.process_time()
            faults = trial.faults(numbers)
            times = f"{time.process_time() - made:.1f} s after {made - began:.1f} s"
            print(f"{name}: {len(faults)} of {len(numbers)} cases fail ({times})")
            print(*faults, sep="\n")


if __name__ == "__main__":
    main()
