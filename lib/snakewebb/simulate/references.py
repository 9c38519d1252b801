"""Write the reference files of source_catalog for a simulated exposure's filter.

    python -m snakewebb.simulate.references EXPOSURE FOLDER

``apcorr.fits`` and ``abvegaoffset.asdf`` in the folder are for both pipelines. Aperture corrections
are those of a star as a mosaic shows it, as in the files of CRDS.
"""

import argparse
from pathlib import Path

import asdf
import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.special import j1
from stdatamodels.jwst import datamodels

from snakewebb.references.pupil import CHARGE_DIFFUSION
from snakewebb.simulate import detector
from snakewebb.simulate.psf import Psf, make_psf

ENERGIES = (0.3, 0.5, 0.7)
ANNULUS = (2.5, 3.5)
"""In units of the largest aperture."""
ABVEGA_OFFSET = 2.0
"""Made up, the same for all filters."""
APCORR_MODELS = {
    "NIRCAM": datamodels.NrcImgApcorrModel,
    "NIRISS": datamodels.NisImgApcorrModel,
    "MIRI": datamodels.MirImgApcorrModel,
}


def exposure_psf(header: fits.Header) -> Psf:
    """Return the simulator's PSF in pixels of an exposure (its headers, merged)."""
    band = next(
        bands[header[key]]
        for bands in (detector.FILTERS[header["INSTRUME"]],)
        for key in ("FILTER", "PUPIL")
        if header.get(key) in bands
    )
    scale = round(float(np.sqrt(header["PIXAR_A2"])), 4)
    return make_psf(band.wavelength * 1e-6, band.bandwidth * 1e-6, scale)


def smoothed(psf: Psf, pixels: int) -> Psf:
    """Return a PSF that is convolved with a pixel's square so many times more.

    An exposure's pixel values are the image convolved with one pixel. Drizzling convolves them with
    the drop and with the output pixel, on average over subpixel positions; an aperture with
    fractional pixels, with the output pixel again.
    """
    n = len(psf.image)
    frequency = np.fft.fftfreq(n, 1 / psf.oversample)
    pixel = np.sinc(frequency)[:, None] * np.sinc(frequency[: n // 2 + 1])[None, :]
    spectrum = np.fft.rfft2(np.fft.ifftshift(psf.image)) * pixel**pixels
    return Psf(psf.size, psf.oversample, np.fft.fftshift(np.fft.irfft2(spectrum, s=(n, n))))


def energy_within(psf: Psf, radius: float) -> float:
    """Return the flux fraction within a circle, from the Fourier transforms of PSF and circle."""
    n = len(psf.image)
    frequency = 2 * np.pi * np.fft.fftfreq(n, 1 / psf.oversample)
    k = np.hypot(frequency[:, None], frequency[None, :])
    k[0, 0] = 1e-9
    circle = 2 * np.pi * radius * j1(k * radius) / k
    spectrum = np.fft.fft2(np.fft.fftshift(psf.image)).real
    sinc = np.sinc(frequency / (2 * np.pi))
    blur = np.exp(-0.5 * (CHARGE_DIFFUSION * k) ** 2)
    return float((spectrum * sinc[:, None] * sinc[None, :] * blur * circle).sum() / psf.size**2)


def aperture_table(psf: Psf, header: fits.Header) -> Table:
    """Return radii and corrections for apertures on a mosaic, with the columns of APCORR."""
    measured = smoothed(psf, 3)
    fine = np.linspace(0.1, 20, 200)
    radii = np.interp(ENERGIES, [energy_within(measured, r) for r in fine], fine)
    inner, outer = np.multiply(ANNULUS, radii[-1])
    y, x = np.indices((psf.size, psf.size)) - psf.size // 2
    r = np.hypot(x, y)
    ring = smoothed(psf, 2).stamp(psf.size, 0.0, 0.0)[(inner < r) & (r < outer)]
    inside = np.array([energy_within(measured, r) for r in radii])
    inside -= np.pi * radii**2 * np.median(ring)
    table = Table({"filter": [header["FILTER"]] * len(ENERGIES)})
    if header["INSTRUME"] == "MIRI":
        table["subarray"] = header["SUBARRAY"]
    else:
        table["pupil"] = header["PUPIL"]
    table["eefraction"] = np.array(ENERGIES, np.float32)
    table["radius"] = np.float32(radii)
    table["apcorr"] = np.float32(1 / inside)
    table["skyin"], table["skyout"] = np.float32(inner), np.float32(outer)
    return table


def write_references(exposure: Path, folder: Path) -> None:
    """Write ``apcorr.fits`` and ``abvegaoffset.asdf`` for an exposure's filter to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    header = fits.getheader(exposure, 0) + fits.getheader(exposure, "SCI")
    table = aperture_table(exposure_psf(header), header)
    model = APCORR_MODELS[header["INSTRUME"]](apcorr_table=table.as_array())
    model.save(folder / "apcorr.fits")
    vega = table[["filter", *({"pupil"} & set(table.colnames))]][:1]
    vega["abvega_offset"] = ABVEGA_OFFSET
    asdf.AsdfFile({"abvega_offset": vega}).write_to(folder / "abvegaoffset.asdf", version="1.5.0")


def main() -> None:
    """Write the files that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("exposure", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    write_references(options.exposure, options.folder)


if __name__ == "__main__":
    main()
