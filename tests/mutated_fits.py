"""FITS files as cards and bytes, and mutations of them that no library would write."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.io import fits

from mutations import Mutant, bit, damage

CARD, BLOCK = 80, 2880
KINDS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}

NUMBERS = (
    "0", "-1", "1.5", "1E30", "-1E30", "1E400", "NaN", "'NaN'", "Infinity", "T", "'text'", "", "''",
    "(1.0, 2.0)", "1D2", "0.0.0", "--5", "$%&", "1 2", "'1.0'", "2147483648", "'un'closed",
)  # fmt: skip
"""What may stand in a card for a value."""


@dataclass(frozen=True)
class Hdu:
    """A header's cards, without END, and the bytes that follow it, without padding."""

    cards: tuple[bytes, ...]
    data: bytes

    def get(self, key: str) -> str | None:
        """Return the text of a card's value, or None."""
        found = [card for card in self.cards if card[:8].rstrip() == key.encode()]
        return found[0][10:].decode("latin1").partition("/")[0].strip() if found else None

    @property
    def name(self) -> str:
        """EXTNAME, empty for the primary one."""
        return (self.get("EXTNAME") or "").strip("' ")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the header gives."""
        return tuple(int(self.get(f"NAXIS{k}")) for k in range(int(self.get("NAXIS")), 0, -1))

    def array(self) -> np.ndarray:
        """Return the pixels as stored, unscaled."""
        return np.frombuffer(self.data, KINDS[int(self.get("BITPIX"))]).reshape(self.shape)

    def card(self, key: str, text: str | None) -> Hdu:
        """Return it with a card of this value, or without it."""
        cards = list(self.cards)
        at = next((k for k, c in enumerate(cards) if c[:8].rstrip() == key.encode()), None)
        if at is None:
            at = len(cards)
        cards[at : at + 1] = [] if text is None else [written(key, text)]
        return replace(self, cards=tuple(cards))

    def pixels(self, array: np.ndarray) -> Hdu:
        """Return it with another image."""
        if array.dtype.kind != "u":
            array = array.astype(array.dtype.newbyteorder(">"))
        kind = next(bits for bits, kind in KINDS.items() if np.dtype(kind) == array.dtype)
        hdu = self.card("BITPIX", str(kind)).card("NAXIS", str(array.ndim))
        old = len(self.shape)
        for k in range(1, max(old, array.ndim) + 1):
            hdu = hdu.card(f"NAXIS{k}", str(array.shape[-k]) if k <= array.ndim else None)
        # the axes have to follow NAXIS
        axes = [card for card in hdu.cards if card[:5] == b"NAXIS" and card[5:6] != b" "]
        others = [card for card in hdu.cards if card not in axes]
        at = next(k for k, card in enumerate(others) if card.startswith(b"NAXIS ")) + 1
        return Hdu((*others[:at], *sorted(axes), *others[at:]), array.tobytes())

    def bytes(self) -> bytes:
        """Return it as it is in a file."""
        head = b"".join((*self.cards, b"END".ljust(CARD)))
        pad = -len(head) % BLOCK
        return head + b" " * pad + self.data + bytes(-len(self.data) % BLOCK)


def written(key: str, text: str) -> bytes:
    """Return a card."""
    return f"{key:<8}= {text:>20}".encode("latin1")[:CARD].ljust(CARD)


def parsed(content: bytes) -> list[Hdu]:
    """Return the HDUs of a valid file."""
    hdus, at = [], 0
    while at < len(content):
        cards = []
        while (card := content[at : at + CARD]).rstrip() != b"END":
            cards.append(card)
            at += CARD
        at += CARD
        at += -at % BLOCK
        head = Hdu(tuple(cards), b"")
        shape = head.shape
        size = math.prod(shape) * abs(int(head.get("BITPIX"))) // 8 if shape else 0
        size += int(head.get("PCOUNT") or 0)
        hdus.append(replace(head, data=content[at : at + size]))
        at += size + -size % BLOCK
    return hdus


def joined(hdus: Sequence[Hdu]) -> bytes:
    """Return the file of some HDUs."""
    return b"".join(hdu.bytes() for hdu in hdus)


def place(hdus: Sequence[Hdu], name: str) -> int:
    """Return where an extension is."""
    return next(k for k, hdu in enumerate(hdus) if hdu.name == name)


def changed(hdus: Sequence[Hdu], name: str, change: Callable[[Hdu], Hdu]) -> bytes:
    """Return the file with one extension changed."""
    at = place(hdus, name)
    return joined([*hdus[:at], change(hdus[at]), *hdus[at + 1 :]])


# --- mutations; `valid["hdus"]` is the file ---------------------------------------------------


def raw(rng: random.Random, valid: Mapping) -> Mutant:
    """Damage the file anywhere, by blocks or by bytes."""
    what, content = damage(joined(valid["hdus"]), rng, step=rng.choice((1, CARD, BLOCK)))
    return Mutant(what, content, touched=None)


def header_bytes(rng: random.Random, valid: Mapping) -> Mutant:
    """Change bytes of a header."""
    hdus = list(valid["hdus"])
    at = rng.randrange(len(hdus))
    what, cards = bit(b"".join(hdus[at].cards), rng)
    cards = tuple(cards[k : k + CARD] for k in range(0, len(cards), CARD))
    hdus[at] = replace(hdus[at], cards=cards)
    return Mutant(f"header of HDU {at}: {what}", joined(hdus), touched=None)


def structure(rng: random.Random, valid: Mapping) -> Mutant:
    """Change what tells how a file is to be read."""
    hdus = list(valid["hdus"])
    at = rng.randrange(len(hdus))
    keys = ["BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "BZERO", "BSCALE", "BLANK"]
    keys += ["XTENSION", "EXTNAME", "EXTVER", "TFIELDS", "TFORM1"] if at else ["SIMPLE", "EXTEND"]
    key = rng.choice(keys)
    text = rng.choice((*NUMBERS, "12", "-64", "8", "16", "64", "63", "65", "3", None))
    hdus[at] = hdus[at].card(key, text)
    return Mutant(f"{key} of HDU {at} is {text}", joined(hdus), touched=None)


def cards(rng: random.Random, valid: Mapping) -> Mutant:
    """Put odd cards beside the others, which do no harm."""
    hdus = list(valid["hdus"])
    at = rng.randrange(len(hdus))
    extra = rng.choice(
        (
            b"COMMENT \x80\xff",
            b"HIERARCH snakewebb odd key = 3",
            b"lower   =                    3",
            b"NOVALUE =",
            b"TOO.ODD =                    3",
            b"HISTORY = 'unclosed",
            b"LONG    = 'abc&'",
            b"CONTINUE  'def'",
            b"",
            b"        = 5",
            b"A" * CARD,
            b"DATE    = 'yesterday'",
            b"NANVALUE=                  NaN",
        )
    ).ljust(CARD)
    where = rng.randrange(8, len(hdus[at].cards) + 1) if len(hdus[at].cards) > 8 else 0
    where = where or len(hdus[at].cards)
    rows = hdus[at].cards
    hdus[at] = replace(hdus[at], cards=(*rows[:where], extra, *rows[where:]))
    # Between the parts of a CONTINUE string a card belongs to the string.
    return Mutant(f"a card {extra.rstrip()!r} in HDU {at}", joined(hdus), touched=())


def harmless(rng: random.Random, valid: Mapping) -> Mutant:
    """Change what does not matter."""
    hdus = list(valid["hdus"])
    end = hdus[-1]
    more = Hdu(
        (
            *(written("XTENSION", "'IMAGE   '"), written("BITPIX", "-32"), written("NAXIS", "2")),
            *(written("NAXIS1", "5"), written("NAXIS2", "4"), written("PCOUNT", "0")),
            *(written("GCOUNT", "1"), written("EXTNAME", "'OTHER   '")),
        ),
        bytes(80),
    )
    science = valid.get("science", "SCI")
    kinds = {
        "an extension more": joined([*hdus, more]),
        "an extension more after the first": joined([hdus[0], more, *hdus[1:]]),
        "the extensions in another order": joined([hdus[0], *hdus[:0:-1]]),
        "a keyword more": joined([hdus[0].card("ODDITY", "'x'"), *hdus[1:]]),
        f"{science} twice": joined([*hdus[:-1], hdus[place(hdus, science)], end]),
        "the name in small letters": changed(
            hdus, science, lambda hdu: hdu.card("EXTNAME", f"'{science.lower()}     '")
        ),
        "blank cards": joined([replace(hdu, cards=(*hdu.cards, b" " * 80)) for hdu in hdus]),
        "wrong checksums": joined(
            [hdu.card("CHECKSUM", "'aaaaaaaaaaaaaaaa'").card("DATASUM", "'1'") for hdu in hdus]
        ),
    }
    what = rng.choice(list(kinds))
    return Mutant(what, kinds[what], "same")


def odd_headers(keys: Mapping[str, Sequence[str]], extra: Sequence[str] = ()) -> Callable:
    """Return a mutation of keywords that are used: by name, the parts of the result they touch."""

    def header(rng: random.Random, valid: Mapping) -> Mutant:
        hdus = list(valid["hdus"])
        key = rng.choice(list(keys))
        at = next(k for k, hdu in enumerate(hdus) if hdu.get(key) is not None or k + 1 == len(hdus))
        at = at if hdus[at].get(key) is not None else place(hdus, valid.get("science", "SCI"))
        text = rng.choice((*NUMBERS, *extra, None))
        hdus[at] = hdus[at].card(key, text)
        return Mutant(f"{key} is {text}", joined(hdus), touched=keys[key])

    return header


def packed(hdus: Sequence[Hdu], name: str) -> bytes:
    """Return the file with one image tile-compressed without loss."""
    with fits.open(io.BytesIO(joined(hdus))) as file:
        at = file.index_of(name)
        kind = {"compression_type": "GZIP_1", "quantize_level": 0.0}
        image = file[at]
        packed = fits.CompImageHDU(image.data, image.header, **kind)
        whole = fits.HDUList([*file[:at], packed, *file[at + 1 :]])
        out = io.BytesIO()
        whole.writeto(out, output_verify="ignore")
    return out.getvalue()
