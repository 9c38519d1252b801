"""Fields for `catalogue.py`: what is in them is laid out so that each figure has its sources.

    PYTHONPATH=lib python benchmarks/catalogue_fields.py FIELD FOLDER [--seed N] [--npix N]
        [--psf flight|blurred]

Writes exposures, association and truth as ``python -m snakewebb.simulate`` does, and reference
files of a perfect telescope's PSF.
The truth has three more columns: ``role``, ``pair`` (separation in FWHM) and ``snr``: the optimal
signal to noise of the source by itself, sqrt(N sum (F P)^2 / (V + F P)) over the pixels of N
exposures, with P the share of light in a pixel and V the variance there without the source (sky,
read noise, the flat's error), in electrons.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.simulate import detector, observation, scene
from snakewebb.simulate.apertures import imaging_aperture
from snakewebb.simulate.model import Observation
from snakewebb.simulate.presets import MIRI_FIELD, NIRCAM_FIELD
from snakewebb.simulate.psf import Psf, make_psf
from snakewebb.simulate.references import write_references
from snakewebb.wcs.sphere import from_plane

SHORT = replace(NIRCAM_FIELD, detectors=("NRCA1",), filter="F200W")
FIELDS = {
    "long": NIRCAM_FIELD,
    "short": SHORT,
    "miri": MIRI_FIELD,
    "crowded": replace(NIRCAM_FIELD, filter="F277W"),
    "galaxies": replace(SHORT, filter="F150W", pointing_error=5.0, roll_error=0.5),
}
CELL = 14.0
"""Side of the cell that a source has for itself, FWHM."""
SATURATION = 2000.0
"""Brightest pixel that is not lost, in units of the sky's noise."""
ROLES = {"star": 0.5, "bright": 0.08, "pair": 0.12, "galaxy": 0.1, "empty": 0.2}


def psf_of(field: Observation, kind: str = "") -> tuple[Psf, float]:
    """Return the PSF and the pixel scale in arcsec.

    A perfect telescope's by default; "blurred" as by jitter and defocus; with a wavefront as in
    "flight", that the field's seed decides.
    """
    ((frame, *_), *_) = observation.believed_frames(field)
    nx, ny = frame.size
    area = scene.pixel_area(frame.sky, (ny, nx))[ny // 2, nx // 2]
    scale = round(float(np.degrees(np.sqrt(area)) * 3600), 4)
    band = detector.FILTERS[field.instrument][field.filter]
    if kind == "flight":
        return observation.filter_psf(replace(field, wavefront=field.seed), area), scale
    psf = make_psf(band.wavelength * 1e-6, band.bandwidth * 1e-6, scale)
    return (blurred(psf) if kind == "blurred" else psf), scale


def blurred(psf: Psf) -> Psf:
    """Return a PSF with a core a tenth wider, and a fifth of its light in a halo around that."""
    n = len(psf.image)
    f = np.fft.fftfreq(n, 1 / psf.oversample)
    square = f[:, None] ** 2 + f[: n // 2 + 1] ** 2
    core, halo = (np.exp(-2 * (np.pi * sigma) ** 2 * square) for sigma in (0.35, 1.2))
    spectrum = np.fft.rfft2(np.fft.ifftshift(psf.image)) * (0.9 * core + 0.1 * halo)
    return Psf(psf.size, psf.oversample, np.fft.fftshift(np.fft.irfft2(spectrum, s=(n, n))))


def fwhm_of(psf: Psf) -> float:
    """Return the full width at half maximum, pixels, with the pixel's own response."""
    n = len(psf.image)
    fine = np.fft.fftshift(np.fft.irfft2(psf.spectrum(psf.size), s=(n, n)))
    line = fine[n // 2, n // 2 :] / fine[n // 2, n // 2]
    below = int(np.argmax(line < 0.5))
    part = (line[below - 1] - 0.5) / (line[below - 1] - line[below])
    return 2 * (below - 1 + part) / psf.oversample


class Noise:
    """What is needed to turn fluxes into signal to noise and back."""

    def __init__(self, field: Observation, psf: Psf, scale: float):
        band = detector.FILTERS[field.instrument][field.filter]
        per_electron = band.conversion / (detector.GAIN[field.instrument] * field.exposure_time)
        self.jansky = per_electron * 1e6 * np.radians(scale / 3600) ** 2
        sky = band.sky / per_electron
        self.variance = sky + detector.READ_NOISE[field.instrument] ** 2
        self.variance += (detector.FLAT_ERROR * sky) ** 2
        self.exposures = len(field.dithers)
        offsets = (-0.375, -0.125, 0.125, 0.375)
        self.stamps = np.array([psf.stamp(psf.size, dx, dy) for dx in offsets for dy in offsets])
        self.stamps = np.clip(self.stamps, 0, None)[:, 32:-32, 32:-32]

    def flux(self, snr: np.ndarray) -> np.ndarray:
        """Return the flux in Jy whose signal to noise this is where the sky alone is noisy."""
        power = np.mean(np.sum(self.stamps**2, axis=(1, 2)))
        return snr * self.jansky * np.sqrt(self.variance / (self.exposures * power))

    def snr(self, flux: np.ndarray) -> np.ndarray:
        """Return the optimal signal to noise of fluxes in Jy, with the source's own photons."""
        electrons = np.asarray(flux)[:, None, None] / self.jansky
        return np.array(
            [
                np.sqrt(
                    self.exposures
                    * np.mean(
                        np.sum((e * self.stamps) ** 2 / (self.variance + e * self.stamps), (1, 2))
                    )
                )
                for e in electrons
            ]
        )


def make_sources(name: str, field: Observation, seed: int, psf: Psf, scale: float) -> Table:
    """Draw the sources of a field."""
    rng = np.random.default_rng([seed, 15])
    noise, fwhm = Noise(field, psf, scale), fwhm_of(psf) * scale
    side = (field.npix or max(imaging_aperture(field.detectors[0]).full_size)) * scale + 6
    if name in ("crowded", "galaxies"):
        area = (side / fwhm) ** 2
        number = int(area / (40 if name == "crowded" else 500))
        xi, eta = (rng.random((2, number)) - 0.5) * side * 1.3
        snr = 3 * rng.random(number) ** -1.3
        galaxy = np.full(number, name == "galaxies") & (rng.random(number) < 0.7)
        table = _table(field, xi, eta, noise.flux(np.minimum(snr, 2e4) * np.where(galaxy, 4, 1)))
        _shape(table, galaxy, rng, snr)
        table["role"] = np.where(galaxy, "galaxy", "star")
    else:
        cells = int(side * 1.3 / (CELL * fwhm))
        row, column = np.indices((cells, cells)).reshape(2, -1)
        lot = rng.choice(list(ROLES), len(row), p=list(ROLES.values()))
        xi, eta = (
            (a - (cells - 1) / 2 + rng.uniform(-0.2, 0.2, len(row))) * CELL * fwhm
            for a in (row, column)
        )
        snr = np.select(
            [lot == "star", lot == "bright", lot == "pair"],
            [
                np.where(
                    rng.random(len(row)) < 0.7,
                    rng.uniform(3, 12, len(row)),
                    12 * 25 ** rng.random(len(row)),
                ),
                400 * 10 ** rng.random(len(row)),
                15 * 10 ** rng.random(len(row)),
            ],
            20 * 20 ** rng.random(len(row)),
        )
        table = _table(field, xi, eta, noise.flux(snr))
        _shape(table, lot == "galaxy", rng, snr)
        table["role"] = lot.astype("U12")
        separation = np.where(
            lot == "pair", np.where(rng.random(len(row)) < 0.6, 1.5, rng.uniform(1, 3, len(row))), 0
        )
        table["pair"] = separation
        table = table[lot != "empty"]
        second = table[table["role"] == "pair"].copy()
        angle = rng.uniform(0, 2 * np.pi, len(second))
        first = np.flatnonzero(table["role"] == "pair")
        x, y = _plane(field, table)
        for rows, sign in ((first, 0.5), (None, -0.5)):
            ra, dec = from_plane(
                x[first] + sign * second["pair"] * fwhm * np.cos(angle),
                y[first] + sign * second["pair"] * fwhm * np.sin(angle),
                field.ra,
                field.dec,
            )
            target, where = (table, rows) if rows is not None else (second, slice(None))
            target["ra"][where], target["dec"][where] = ra, dec
        beacons = max(int(len(table) / 1000), 3)
        xi, eta = (rng.random((2, beacons)) - 0.5) * side
        bright = _table(field, xi, eta, noise.flux(1e4 * 20 ** rng.random(beacons)))
        bright["role"] = "beacon"
        table = vstack([table, second, bright])
    if "pair" not in table.colnames:
        table["pair"] = 0.0
    table["pair"] = np.nan_to_num(np.ma.filled(table["pair"], 0.0))
    table["id"] = np.arange(1, len(table) + 1)
    table["snr"] = noise.snr(table["flux"].data)
    table.meta["fwhm"] = fwhm / scale
    return table


def _plane(field, table):
    from snakewebb.wcs.sphere import to_plane

    return to_plane(table["ra"].data, table["dec"].data, field.ra, field.dec)


def _table(field, xi, eta, flux):
    table = scene.catalog(*from_plane(xi, eta, field.ra, field.dec), flux)
    table["type"] = table["type"].astype("U8")
    table["role"] = np.full(len(table), "", "U12")
    table["radius"], table["sersic"] = np.zeros((2, len(table)))
    table["axis_ratio"], table["position_angle"] = np.ones(len(table)), np.zeros(len(table))
    table["radius"].unit, table["position_angle"].unit = "arcsec", "deg"
    table["pair"] = 0.0
    return table


def _shape(table, galaxy, rng, snr):
    n = len(table)
    table["type"][galaxy] = "galaxy"
    radius = 0.12 * (np.minimum(snr, 1000) / 5) ** 0.2 * np.exp(0.3 * rng.standard_normal(n))
    table["radius"][galaxy] = radius[galaxy]
    table["axis_ratio"][galaxy] = rng.uniform(0.25, 1.0, n)[galaxy]
    table["position_angle"][galaxy] = rng.uniform(0, 180, n)[galaxy]
    table["sersic"][galaxy] = rng.choice(scene.SERSIC_INDICES, n)[galaxy]


def saturating(limit: float):
    """Return what saves an exposure after its brightest pixels are lost."""

    def save(model, folder, name):
        lost = model.data > limit * np.nanmedian(model.err) + np.nanmedian(model.data)
        model.dq[lost] |= DO_NOT_USE | BITS["SATURATED"]
        for plane in (model.data, model.err, model.var_poisson, model.var_rnoise, model.var_flat):
            plane[lost] = np.nan
        observation.save_calibrated(model, folder, name)

    return save


def main() -> None:
    """Write the field that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("field", choices=FIELDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--npix", type=int)
    parser.add_argument("--psf", choices=["", "flight", "blurred"], default="")
    options = parser.parse_args()
    field = replace(FIELDS[options.field], seed=options.seed, npix=options.npix)
    psf, scale = psf_of(field, options.psf)
    sources = make_sources(options.field, field, options.seed, psf, scale)
    observation.filter_psf = lambda *_: psf
    observation.write(replace(field, sources=sources), options.folder, save=saturating(SATURATION))
    if not options.psf:  # of which the files are
        write_references(next(options.folder.glob("*_cal.fits")), options.folder / "references")


if __name__ == "__main__":
    main()
