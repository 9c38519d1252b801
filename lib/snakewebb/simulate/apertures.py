"""Detectors' places in the telescope's focal plane, and gWCS made from them.

The table ``apertures.json`` holds SIAF polynomials; ``make_apertures.py`` made it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import astropy.units as u
import gwcs
import numpy as np
from astropy.coordinates import ICRS
from astropy.modeling import Model, models
from astropy.modeling.rotations import RotationSequence3D
from gwcs import coordinate_frames as cf
from gwcs.geometry import CartesianToSpherical, SphericalToCartesian

from snakewebb.wcs.sphere import unit_vectors


@dataclass(frozen=True)
class Aperture:
    """A row of the table.

    Attributes
    ----------
    instrument, detector : str
        As in the keywords INSTRUME and DETECTOR.
    full_size, size : (nx, ny)
        Pixels of the detector and of the aperture.
    start : (x, y)
        The aperture's first pixel on the detector, 1-based (SUBSTRT1, SUBSTRT2).
    reference : (x, y)
        The reference point on the full detector, 1-based pixel coordinates.
    v2_ref, v3_ref : float
        The reference point in the focal plane, arcsec.
    v3yangle : float
        Angle from V3 to the ideal y axis, degrees.
    vparity : int
        Sense of the ideal x axis.
    to_ideal, from_ideal : pair of lists
        SIAF polynomials between pixels and ideal coordinates (arcsec), for x and for y.
    control : list
        (x, y, v2, v3) computed by pysiaf; x, y are 1-based pixels of the aperture.
    """

    instrument: str
    detector: str
    full_size: tuple[int, int]
    start: tuple[int, int]
    size: tuple[int, int]
    reference: tuple[float, float]
    v2_ref: float
    v3_ref: float
    v3yangle: float
    vparity: int
    to_ideal: tuple[list[float], list[float]]
    from_ideal: tuple[list[float], list[float]]
    control: list[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Pointing:
    """Where the telescope points: focal-plane point (``v2``, ``v3``; arcsec) sees ``ra``, ``dec``.

    ``roll`` is the position angle of V3 at that point; degrees, East of North.
    """

    ra: float
    dec: float
    roll: float
    v2: float
    v3: float

    @property
    def attitude(self) -> np.ndarray:
        """The rotation (3, 3) from unit vectors towards V2, V3 to those of the sky."""
        return (
            _rotation("z", self.ra)
            @ _rotation("y", -self.dec)
            @ _rotation("x", -self.roll)
            @ _rotation("y", self.v3 / 3600)
            @ _rotation("z", -self.v2 / 3600)
        )

    def at(self, v2: float, v3: float) -> tuple[float, float, float]:
        """Return RA, Dec and the position angle of V3 (degrees) at a focal-plane point."""
        attitude = self.attitude
        a, d = np.radians(v2 / 3600), np.radians(v3 / 3600)
        x, y, z = attitude @ (np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d))
        up = attitude @ (-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d))
        ra, dec = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))
        east = up @ (-np.sin(ra), np.cos(ra), 0)
        north = up @ (-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec))
        ra, dec, roll = np.degrees(ra % (2 * np.pi)), np.degrees(dec), np.arctan2(east, north)
        return float(ra), float(dec), float(np.degrees(roll))

    def find(self, ra: float, dec: float) -> tuple[float, float]:
        """Return the focal-plane point (V2, V3; arcsec) that sees a position."""
        x, y, z = self.attitude.T @ unit_vectors(ra, dec)
        v2, v3 = np.degrees((np.arctan2(y, x), np.arctan2(z, np.hypot(x, y)))) * 3600
        return float(v2), float(v3)


def _rotation(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


@cache
def apertures() -> dict[str, Aperture]:
    """Return all apertures of the table by SIAF name."""
    table = json.loads(Path(__file__).with_name("apertures.json").read_text(encoding="utf-8"))
    pairs = ("full_size", "start", "size", "reference")
    rows = table["apertures"].items()
    return {n: Aperture(**row | {p: tuple(row[p]) for p in pairs}) for n, row in rows}


def imaging_aperture(detector: str) -> Aperture:
    """Return the full-frame aperture of a detector."""
    rows = (row for row in apertures().values() if row.detector == detector)
    return next(row for row in rows if row.size == row.full_size)


def middle_of(detectors: Sequence[str]) -> tuple[float, float]:
    """Return the mean (V2, V3; arcsec) of the reference points of detectors."""
    rows = [imaging_aperture(name) for name in detectors]
    return float(np.mean([r.v2_ref for r in rows])), float(np.mean([r.v3_ref for r in rows]))


def central_subarray(
    aperture: Aperture, npix: int | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return start (1-based x, y) and size of a square of ``npix`` about the reference point.

    None gives the whole aperture.
    """
    if npix is None:
        return aperture.start, aperture.size
    x, y = (int(np.ceil(r - npix / 2)) for r in aperture.reference)
    return (x, y), (npix, npix)


def wcsinfo(aperture: Aperture, pointing: Pointing) -> dict[str, float | int]:
    """Return the keywords (jwst's ``meta.wcsinfo``) that set the pointing of an aperture."""
    ra, dec, roll = pointing.at(aperture.v2_ref, aperture.v3_ref)
    return {
        "v2_ref": aperture.v2_ref,
        "v3_ref": aperture.v3_ref,
        "vparity": aperture.vparity,
        "v3yangle": aperture.v3yangle,
        "ra_ref": ra,
        "dec_ref": dec,
        "roll_ref": roll,
    }


def make_wcs(
    aperture: Aperture,
    info: dict[str, float | int],
    *,
    start: tuple[int, int],
    size: tuple[int, int],
    va_scale: float,
    pivot: tuple[float, float] | None = None,
) -> gwcs.WCS:
    """Build the gWCS that the reference pipeline gives an imaging exposure.

    Parameters
    ----------
    aperture : Aperture
        The detector's place and distortion.
    info : dict
        From `wcsinfo`.
    start, size : (x, y)
        The subarray read out: first pixel (1-based) and size.
    va_scale : float
        Velocity-aberration scale.
    pivot : (v2, v3), optional
        Where it leaves positions as they are, arcsec; by default the aperture's reference point.

    Returns
    -------
    gwcs.WCS
        detector (0-based pixels) → v2v3 → v2v3vacorr (arcsec) → world (ICRS degrees).

    Notes
    -----
    Source: JWST documentation, "assign_wcs" (jwst-pipeline) and the SIAF handbook
    (Cox & Lallo 2017, JWST-STScI-001550).
    """
    corner = shift(start[0] - 1, start[1] - 1)
    distortion = _distortion(aperture)
    transform = distortion if tuple(start) == (1, 1) else corner | distortion

    angles = [
        info["v2_ref"] / 3600,
        -info["v3_ref"] / 3600,
        info["roll_ref"],
        info["dec_ref"],
        -info["ra_ref"],
    ]
    to_sky = (
        (models.Scale(1 / 3600) & models.Scale(1 / 3600))
        | SphericalToCartesian(wrap_lon_at=180)
        | RotationSequence3D(angles, "zyxyz")
        | CartesianToSpherical(wrap_lon_at=360)
    )
    to_sky.name = "v23tosky"

    arcsec = (u.arcsec, u.arcsec)
    frames = [
        cf.Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix)),
        cf.Frame2D(name="v2v3", axes_order=(0, 1), axes_names=("v2", "v3"), unit=arcsec),
        cf.Frame2D(name="v2v3vacorr", axes_order=(0, 1), axes_names=("v2", "v3"), unit=arcsec),
        cf.CelestialFrame(name="world", reference_frame=ICRS()),
    ]
    fixed = pivot or (info["v2_ref"], info["v3_ref"])
    transforms = [transform, _velocity_aberration(va_scale, fixed), to_sky, None]
    wcs = gwcs.WCS(list(zip(frames, transforms, strict=True)))
    wcs.bounding_box = _bounding_box(aperture, size)
    return wcs


def _bounding_box(aperture: Aperture, size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    nx, ny = size
    if aperture.detector == "MIRIMAGE" and size == aperture.full_size:
        return (3.5, nx - 4.5), (-0.5, ny - 0.5)
    return (-0.5, nx - 0.5), (-0.5, ny - 0.5)


def _velocity_aberration(scale: float, pivot: tuple[float, float]) -> Model:
    model = (
        models.Scale(scale, name="dva_scale_v2") & models.Scale(scale, name="dva_scale_v3")
    ) | (
        models.Shift((1 - scale) * pivot[0], name="dva_v2_shift")
        & models.Shift((1 - scale) * pivot[1], name="dva_v3_shift")
    )
    model.name = "DVA_Correction"
    return model


def _distortion(aperture: Aperture) -> Model:
    x_ref, y_ref = aperture.reference
    twice = models.Mapping((0, 1, 0, 1))
    to_ideal = twice | (polynomial(aperture.to_ideal[0]) & polynomial(aperture.to_ideal[1]))
    to_ideal.inverse = models.Mapping((0, 1, 0, 1)) | (
        polynomial(aperture.from_ideal[0]) & polynomial(aperture.from_ideal[1])
    )
    c, s = np.cos(np.radians(aperture.v3yangle)), np.sin(np.radians(aperture.v3yangle))
    turn = models.AffineTransformation2D(
        matrix=[[aperture.vparity * c, s], [-aperture.vparity * s, c]],
        translation=[aperture.v2_ref, aperture.v3_ref],
    )
    return shift(1 - x_ref, 1 - y_ref) | to_ideal | turn


def shift(x: float, y: float) -> Model:
    """Return the shift of a point."""
    return models.Shift(x) & models.Shift(y)


def polynomial(coefficients: list[float]) -> models.Polynomial2D:
    """Return a polynomial of coefficients in the SIAF's order."""
    degree = int((np.sqrt(8 * len(coefficients) + 1) - 3) / 2)
    values = iter(coefficients)
    terms = {f"c{i - j}_{j}": next(values) for i in range(degree + 1) for j in range(i + 1)}
    return models.Polynomial2D(degree, **terms)
