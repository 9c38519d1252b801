"""Distortion models as the reference files have them, made from the SIAF.

Source: the SIAF handbook (Cox & Lallo 2017, JWST-STScI-001550); the build of the models is that of
the files of CRDS.
"""

from __future__ import annotations

import numpy as np
from astropy.modeling import Model, models

from snakewebb.simulate.apertures import Aperture, polynomial, shift

INVERSE_DEGREE = 6
"""The SIAF's own inverse polynomials are off by up to 0.4 pixels."""
MIRI_SCALE = 0.025
MIRI_BOX = (3.5, 1027.5), (-0.5, 1023.5)
"""Without MIRI's reference pixels."""
TWICE = (0, 1, 0, 1)


def distortion(aperture: Aperture, offset: tuple[float, float]) -> Model:
    """Return the model of DISTORTION: 0-based pixels of the whole detector to V2, V3 (arcsec).

    Parameters
    ----------
    aperture : Aperture
    offset : (column, row)
        Of the filter, pixels: it is added to pixels before they come here, and undone here.

    Returns
    -------
    astropy.modeling.Model
        With its inverse. That of MIRI has a bounding box and, as the real one, polynomials of one
        variable, and is read from V3, V2.
    """
    x, y = (r + o for r, o in zip(aperture.reference, offset, strict=True))
    inverse = _fit_inverse(aperture)
    if aperture.instrument == "MIRI":
        return _miri(aperture, (x, y), inverse)
    to_ideal = models.Mapping(TWICE) | (
        polynomial(aperture.to_ideal[0]) & polynomial(aperture.to_ideal[1])
    )
    to_ideal.inverse = models.Mapping(TWICE) | (polynomial(inverse[0]) & polynomial(inverse[1]))
    turn = _turn(aperture)
    to_telescope = models.Mapping(TWICE) | (_linear(0.0, turn[0]) & _linear(0.0, turn[1]))
    back = np.linalg.inv(turn)
    to_telescope.inverse = models.Mapping(TWICE) | (_linear(0.0, back[0]) & _linear(0.0, back[1]))
    return (
        shift(1, 1)
        | shift(-x, -y)
        | to_ideal
        | to_telescope
        | shift(aperture.v2_ref, aperture.v3_ref)
    )


def _miri(
    aperture: Aperture, reference: tuple[float, float], inverse: tuple[list[float], list[float]]
) -> Model:
    x, y = reference
    first = models.Shift(-4.0) & models.Identity(1)
    column, row = (
        models.Polynomial1D(1, c0=MIRI_SCALE * (start - r), c1=MIRI_SCALE)
        for start, r in ((5, x), (1, y))
    )
    column.name, row.name = "M_column_correction", "M_row_correction"
    back = [
        models.Polynomial1D(1, c0=r - start, c1=1 / MIRI_SCALE) for start, r in ((5, x), (1, y))
    ]
    column.inverse, row.inverse = back
    bent = [polynomial(_scaled(c, 1 / MIRI_SCALE)) for c in reversed(aperture.to_ideal)]
    flip = np.array([[0.0, 1.0], [1.0, 0.0]])
    turn = flip @ _turn(aperture) @ flip
    straight = [
        _linear(at, coefficients)
        for at, coefficients in zip((aperture.v3_ref, aperture.v2_ref), turn, strict=True)
    ]
    straight[0].name, straight[1].name = "TI_row_correction", "TI_column_correction"
    swap = models.Identity(2)
    swap.inverse = models.Mapping((1, 0))
    twice = models.Mapping(TWICE)
    twice.inverse = models.Identity(2)
    model = (
        first
        | (column & row)
        | twice
        | (bent[0] & bent[1])
        | models.Mapping(TWICE)
        | (straight[0] & straight[1])
        | swap
        | models.Mapping((1, 0))
    )
    turned = np.linalg.inv(turn)
    constant = -turned @ (aperture.v3_ref, aperture.v2_ref)
    unbent = [[value * MIRI_SCALE for value in _swapped(c)] for c in inverse]
    model.inverse = (
        models.Mapping((1, 0))
        | models.Mapping(TWICE)
        | (_linear(constant[0], turned[0]) & _linear(constant[1], turned[1]))
        | models.Mapping(TWICE)
        | (polynomial(unbent[0]) & polynomial(unbent[1]))
        | (back[0].copy() & back[1].copy())
        | (models.Shift(4.0) & models.Identity(1))
    )
    model.inputs = ("x0", "x1")  # as jwst looks for them when it moves the box
    model.bounding_box = MIRI_BOX[::-1]
    return model


def _turn(aperture: Aperture) -> np.ndarray:
    """Return the matrix from ideal coordinates to V2, V3."""
    c, s = np.cos(np.radians(aperture.v3yangle)), np.sin(np.radians(aperture.v3yangle))
    return np.array([[aperture.vparity * c, s], [-aperture.vparity * s, c]])


def _linear(constant: float, slopes: np.ndarray) -> models.Polynomial2D:
    return models.Polynomial2D(1, c0_0=constant, c1_0=slopes[0], c0_1=slopes[1])


def _terms(degree: int) -> list[tuple[int, int]]:
    """Return the powers of x and y in SIAF's order."""
    return [(i - j, j) for i in range(degree + 1) for j in range(i + 1)]


def _degree(coefficients: list[float]) -> int:
    return int((np.sqrt(8 * len(coefficients) + 1) - 3) / 2)


def _scaled(coefficients: list[float], scale: float) -> list[float]:
    """Return a polynomial of both variables times a number."""
    terms = _terms(_degree(coefficients))
    return [c * scale ** (i + j) for c, (i, j) in zip(coefficients, terms, strict=True)]


def _swapped(coefficients: list[float]) -> list[float]:
    """Return a polynomial of the variables in the other order."""
    terms = _terms(_degree(coefficients))
    by_power = dict(zip(terms, coefficients, strict=True))
    return [by_power[j, i] for i, j in terms]


def _fit_inverse(aperture: Aperture) -> tuple[list[float], list[float]]:
    """Return polynomials from ideal coordinates to pixels from the reference, by least squares."""
    nodes = (
        np.linspace(0.5, n + 0.5, 40) - r
        for n, r in zip(aperture.full_size, aperture.reference, strict=True)
    )
    x, y = (values.ravel() for values in np.meshgrid(*nodes))
    ideal = np.array([polynomial(c)(x, y) for c in aperture.to_ideal])
    scale = np.abs(ideal).max()
    u, v = ideal / scale
    design = np.stack([u**i * v**j for i, j in _terms(INVERSE_DEGREE)], axis=-1)
    fitted, *_ = np.linalg.lstsq(design, np.stack((x, y), axis=-1), rcond=None)
    to_x, to_y = (_scaled(list(map(float, column)), 1 / scale) for column in fitted.T)
    return to_x, to_y
