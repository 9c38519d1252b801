"""Observations with a name."""

from dataclasses import replace

from snakewebb.simulate.apertures import imaging_aperture
from snakewebb.simulate.coron_model import Companion, CoronagraphicObservation
from snakewebb.simulate.model import Observation

SMALL_DITHERS = ((0.0, 0.0), (1.52, 0.66), (0.73, 2.05), (-1.27, 1.31))
"""Four exposures a few arcseconds apart, with different subpixel phases."""
MIRI_DITHERS = ((-1.13, -0.28), (1.21, 0.66), (-0.39, 1.05), (0.34, -1.43))
"""Like MIRI's 4-POINT-SETS."""
NIRCAM_SHORT_A = ("NRCA1", "NRCA2", "NRCA3", "NRCA4")


def mosaic(columns: int, rows: int, step: float) -> tuple[tuple[float, float], ...]:
    """Return dithers on a grid of tiles ``step`` arcsec apart, row by row."""
    return tuple(
        ((i - (columns - 1) / 2) * step, (j - (rows - 1) / 2) * step)
        for j in range(rows)
        for i in range(columns)
    )


def small_grid(step: float) -> tuple[tuple[float, float], ...]:
    """Return the nine points of a small-grid dither, the middle first; ``step`` in arcsec."""
    points = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]
    return tuple((step * x, step * y) for x, y in points)


NIRCAM_FIELD = Observation(
    detectors=("NRCALONG",),
    filter="F356W",
    dithers=SMALL_DITHERS,
    pointing_error=80.0,
    roll_error=5.0,
)
MIRI_FIELD = Observation(
    detectors=("MIRIMAGE",),
    filter="F1130W",
    dithers=MIRI_DITHERS,
    ra=214.9,
    dec=52.85,
    roll=120.0,
    exposure_time=500.0,
    stars=60,
    galaxies=120,
    pointing_error=80.0,
    roll_error=5.0,
    program=1235,
    background=(0.0, 300.0),
)
PRESETS: dict[str, Observation] = {
    "nircam-f356w": NIRCAM_FIELD,
    "nircam-f444w": replace(NIRCAM_FIELD, filter="F444W", activity=2),
    "miri-f1130w": MIRI_FIELD,
    "niriss-f150w": replace(NIRCAM_FIELD, detectors=("NIS",), filter="F150W", program=1236),
    "fgs": replace(NIRCAM_FIELD, detectors=("GUIDER2",), filter="OPEN", program=1241),
    "nircam-short": replace(
        NIRCAM_FIELD, detectors=NIRCAM_SHORT_A, filter="F200W", program=1237, stars=200, galaxies=80
    ),
    "nircam-f115w": replace(NIRCAM_FIELD, detectors=("NRCA1",), filter="F115W", program=1242),
    "nircam-modules": replace(NIRCAM_FIELD, detectors=("NRCALONG", "NRCBLONG"), program=1238),
    "nircam-mosaic": replace(NIRCAM_FIELD, dithers=mosaic(6, 4, 60.0), program=1239),
    "nircam-moving": replace(NIRCAM_FIELD, motion=(20.0, -9.0), program=1240),
}
"""The demo takes the first three; the accuracy figures the first and the third, full-size."""

NIRCAM_CORON = CoronagraphicObservation(
    aperture="NRCA5_MASK335R",
    filter="F335M",
    dithers=small_grid(0.015),
    companions=(Companion(0.75, 130.0, 1e-4), Companion(1.55, 310.0, 1.5e-5)),
)
CORONAGRAPHIC: dict[str, CoronagraphicObservation] = {
    "nircam-coron": NIRCAM_CORON,
    "miri-coron": replace(
        NIRCAM_CORON,
        aperture="MIRIM_MASK1140",
        filter="F1140C",
        dithers=small_grid(0.01),
        companions=(Companion(1.4, 130.0, 2e-3), Companion(2.6, 340.0, 4e-4)),
        rolls=(110.0, 120.0),
        reference_roll=117.0,
        star_flux=0.3,
        reference_flux=0.6,
        acquisition_error=7.0,
        program=1386,
    ),
}


def preset(
    name: str, *, seed: int = 1, npix: int | None = None
) -> Observation | CoronagraphicObservation:
    """Return a preset, or its scaled-down form.

    Parameters
    ----------
    name : str
        A key of ``PRESETS`` or of ``CORONAGRAPHIC``.
    seed : int
    npix : int, optional
        Side of a central subarray. Of images, the number of sources on it and the steps between
        the tiles of a mosaic shrink in proportion.

    Raises
    ------
    KeyError
        There is no such preset.
    """
    if name in CORONAGRAPHIC:
        return replace(CORONAGRAPHIC[name], seed=seed, npix=npix)
    observation = replace(PRESETS[name], seed=seed)
    if npix is None:
        return observation
    ratio = npix / imaging_aperture(observation.detectors[0]).full_size[0]
    dithers = observation.dithers
    if len(dithers) > 4:
        dithers = tuple((x * ratio, y * ratio) for x, y in dithers)
    return replace(
        observation,
        npix=npix,
        dithers=dithers,
        stars=round(observation.stars * ratio),
        galaxies=round(observation.galaxies * ratio),
    )
