"""MAST asked, and files fetched from it, by astroquery; see its ``mast.Observations``.

What it says of observations and products are fields of the Common Archive Observation Model, see
https://mast.stsci.edu/api/v0/_c_a_o_mfields.html and https://mast.stsci.edu/api/v0/_productsfields.html.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import requests
from astroquery import log as astroquery_log
from astroquery.exceptions import InvalidQueryError, LoginError, RemoteServiceError
from astroquery.mast import ObservationsClass
from urllib3.util import Retry

from snakewebb.archive.criteria import TOKEN, Criteria
from snakewebb.archive.lock import ArchivedFile
from snakewebb.errors import InputError

TIMEOUT = 60.0
"""Seconds without a byte after which a download is begun again where it ended."""
ATTEMPTS = 5
"""How often a download is begun again that ends early, and a request that a busy MAST refuses."""
BACKOFF = 1.0
"""Seconds before a request is repeated, doubled each time, where MAST does not say."""
_BUSY = (429, 500, 502, 503, 504)
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
_FIRST_DAY = date(1858, 11, 17)  # of the modified Julian date
_CHUNK = 500
"""Observations whose products are asked for at once."""
logger = logging.getLogger(__name__)


def find_files(product: str, criteria: Mapping[str, Criteria]) -> list[ArchivedFile]:
    """Return the files in MAST that a product asks for.

    Parameters
    ----------
    product : str
        Its name, for messages.
    criteria : mapping
        By type of exposure, see `snakewebb.archive.criteria.criteria_of`.

    Raises
    ------
    InputError
        MAST cannot be asked, or has no such files.
    """
    found: list[ArchivedFile] = []
    for exptype, wanted in criteria.items():
        with _connected() as archive:
            files = _find(archive, exptype, wanted)
        if not files:
            given = {key: value for key, value in wanted.as_dict().items() if value}
            listed = ", ".join(f"{key} {value}" for key, value in given.items())
            raise InputError(
                f"products.{product}.mast: MAST has no {exptype} exposures of {listed}: change it"
            )
        found += files
    twice = {file.filename for file in found if file.exptype == "psf"}
    for file in found:
        if file.exptype == "science" and file.filename in twice:
            raise InputError(
                f"products.{product}.mast: {file.filename} is of the target and of references: say "
                "more of either"
            )
    return found


def _find(archive: ObservationsClass, exptype: str, wanted: Criteria) -> list[ArchivedFile]:
    """Return the files of one type of exposure, each once."""
    asked = {
        "obs_collection": "JWST",
        "proposal_id": [str(wanted.program), f"{wanted.program:05d}"],
        "filters": f"*{wanted.filter}*",
    }
    if wanted.target:
        asked["target_name"] = wanted.target
    with _answered(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no results, and of units that astropy does not know
        observations = archive.query_criteria(**asked)
        known = {str(row["obsid"]): row for row in observations}
        numbers, products = list(known), []
        for start in range(0, len(numbers), _CHUNK):
            products += list(archive.get_product_list(numbers[start : start + _CHUNK]))
    found: dict[str, ArchivedFile] = {}
    for row in products:
        # An observation that others were combined to lists their files, be they of other targets.
        own = known.get(_text(row, "parent_obsid"))
        name, filters = str(row["productFilename"]), _text(row, "filters")
        if own is None and wanted.target:
            continue
        if wanted.fits(name, filters or (_text(own, "filters") if own is not None else "")):
            found[name] = ArchivedFile(
                name,
                exptype,
                int(row["size"]),
                str(row["dataURI"]),
                _day(own["t_obs_release"]) if own is not None else "",
                _text(row, "prvversion"),
            )
    return list(found.values())


def _text(row: Any, key: str) -> str:
    value = row[key] if key in row.colnames else ""
    return "" if np.ma.is_masked(value) else str(value)


def _day(mjd: Any) -> str:
    """Return a modified Julian date as a day; empty if it is not known."""
    known = not np.ma.is_masked(mjd) and np.isfinite(mjd)
    return str(_FIRST_DAY + timedelta(days=int(mjd))) if known else ""


def fetch_file(target: str | Path, uri: str, size: int) -> None:
    """Fetch a file, or what is missing of it after an earlier attempt.

    Parameters
    ----------
    target : path
        It stands there only when it is complete; until then beside it, as a hidden ``.part``.
    uri : str
        What MAST calls it.
    size : int
        Bytes that it is to have.

    Raises
    ------
    InputError
        MAST does not give it, or another file.
    """
    target = Path(target)
    # A file of another size is another version, of which nothing is taken.
    part = target.with_name(f".{target.name}.{size}.part")
    for attempt in range(1, ATTEMPTS + 1):
        broken = _append(uri, part)
        found = part.stat().st_size if part.exists() else 0
        if found == size:
            part.replace(target)
            return
        if not broken or found > size:
            part.unlink(missing_ok=True)
            raise InputError(
                f"{target.name}: has {found} bytes in MAST, not {size}: give 'snakemake query' for "
                "what it has now"
            )
        logger.warning("attempt %d ended at %d of %d bytes: %s", attempt, found, size, broken)
    raise InputError(
        f"{target.name}: {found} of {size} bytes came from MAST in {ATTEMPTS} attempts: try again "
        "later: the same command goes on"
    )


def _append(uri: str, part: Path) -> Exception | None:
    """Fetch what is missing of a part of a file; return what broke the connection, if it did.

    By a session of its own: where the request for a part fails, astroquery asks for the same part
    of whatever it fetches next (findings/astroquery-range-stays.sh).
    """
    try:
        with _connected() as archive:
            address = archive._portal_api_connection.MAST_DOWNLOAD_URL + "?uri=" + uri
            # If not verbose, it holds the file in memory; at this level of its log it says nothing.
            archive._download_file(
                address, str(part), timeout=TIMEOUT, cache=True, head_safe=True, verbose=True
            )
    except _BROKEN as error:
        return error
    except requests.HTTPError as error:
        error.response.close()
        name, code = uri.rpartition("/")[2], error.response.status_code
        if code in (401, 403):
            given = f"give {TOKEN} another token: this one does not allow it"
            words = given if os.environ.get(TOKEN) else f"set {TOKEN} to a token of its program's"
            raise InputError(f"{name}: is proprietary (MAST answers {code}): {words}") from None
        if code == 404:
            raise InputError(
                f"{name}: MAST has it no more (404): give 'snakemake query' for what it has now"
            ) from None
        raise InputError(
            f"{name}: MAST answers {code}: try again later: the same command goes on"
        ) from None
    return None


@contextmanager
def _answered() -> Iterator[None]:
    """Say in one line why a question to MAST has no answer."""
    try:
        yield
    except InputError:
        raise
    except (requests.RequestException, RemoteServiceError, TimeoutError, ValueError) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(f"MAST: does not answer ({what}): try again later") from None
    except InvalidQueryError as error:
        raise InputError(f"MAST: does not understand what is asked ({error})") from None


@contextmanager
def _connected() -> Iterator[ObservationsClass]:
    """Open a session with MAST, with the user's token if there is one."""
    astroquery_log.setLevel("WARNING")
    archive = ObservationsClass()
    again = Retry(
        total=ATTEMPTS, status_forcelist=_BUSY, backoff_factor=BACKOFF, allowed_methods=None
    )
    for start in ("https://", "http://"):
        archive._session.mount(start, requests.adapters.HTTPAdapter(max_retries=again))
    if token := os.environ.get(TOKEN):
        with _answered():
            try:
                archive.login(token)
            except LoginError:
                raise InputError(f"{TOKEN}: MAST does not know this token: give another") from None
    try:
        yield archive
    finally:
        archive._session.close()
