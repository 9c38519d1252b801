"""Point-like sources of one exposure, for alignment.

IRAF's ``starfind``, or photutils' DAOFIND or segmentation, on the background-subtracted image, with
the parameters and defaults of jwst's ``tweakreg`` step. The positions used for alignment are then
measured anew under a Gaussian window. photutils takes half a second to import, astropy's tables an
eighth: only where needed.
"""

import logging
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np

from snakewebb.io.dq import DO_NOT_USE, NON_SCIENCE
from snakewebb.kernels.centroids import centroid_errors, windowed_centroids
from snakewebb.kernels.star_finders import convolve
from snakewebb.sources.background import Background

log = logging.getLogger(__name__)

FWHM_TO_SIGMA = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))

UNKNOWN_ERROR = 0.1
"""Pixels, of positions that could not be measured anew."""
Sources = dict[str, np.ndarray]
"""Columns by name."""


@dataclass(frozen=True, kw_only=True)
class FinderOptions:
    """How sources are found; parameters and defaults are those of jwst's ``tweakreg``.

    Attributes
    ----------
    starfinder : {"iraf", "dao", "segmentation"}
        The algorithm.
    snr_threshold : float
        Detection threshold in units of the background rms.
    kernel_fwhm : float
        FWHM of the Gaussian detection kernel in pixels.
    bkg_boxsize : int
        Box of the background mesh in pixels.
    minsep_fwhm, sigma_radius, sharplo, sharphi, roundlo, roundhi, brightest, peakmax : various
        Of ``iraf`` and ``dao``: least separation, cut-off radius of the kernel, limits, how many
        are kept, and the highest peak, in units of the image.
    npixels, connectivity, nlevels, contrast, multithresh_mode, localbkg_width, deblend : various
        Of ``segmentation``: least number of connected pixels, of 4 or 8 neighbours; number and
        spacing of the levels of deblending, and the least share of flux; width in pixels of the
        annulus of local sky, 0 for none; whether to deblend.
    """

    starfinder: str = "iraf"
    snr_threshold: float = 10.0
    kernel_fwhm: float = 2.5
    bkg_boxsize: int = 400
    minsep_fwhm: float = 0.0
    sigma_radius: float = 1.5
    sharplo: float = 0.5
    sharphi: float = 2.0
    roundlo: float = 0.0
    roundhi: float = 0.2
    brightest: int | None = 200
    peakmax: float | None = None
    npixels: int = 10
    connectivity: int = 8
    nlevels: int = 32
    contrast: float = 0.001
    multithresh_mode: str = "exponential"
    localbkg_width: int = 0
    deblend: bool = True

    @property
    def min_separation(self) -> int:
        """The least separation of sources in pixels."""
        return max(2, int(self.minsep_fwhm * self.kernel_fwhm + 0.5))


def find_sources(sci: np.ndarray, dq: np.ndarray, how: FinderOptions = FinderOptions()) -> Sources:
    """Find the point-like sources of an image.

    Parameters
    ----------
    sci : ndarray, (ny, nx)
        Image.
    dq : ndarray of uint32, (ny, nx)
        Pixels with DO_NOT_USE or NON_SCIENCE are left out.
    how : FinderOptions, optional

    Returns
    -------
    dict of (n,) arrays
        ``id`` (from 1), ``x``, ``y`` (0-based pixels), ``flux``; empty where nothing is found.
    """
    mask = (dq & (DO_NOT_USE | NON_SCIENCE)) != 0
    infinite = np.isinf(sci)
    if infinite.any():
        sci, mask = np.where(infinite, np.float32(np.nan), sci), mask | infinite
    if not np.any(np.isfinite(sci) & ~mask):
        log.warning("no usable pixel: no sources")
        return table_of([], [], [])
    ny = len(sci)
    sky = Background(
        lambda start, stop: (sci[start:stop], mask[start:stop]), sci.shape, how.bkg_boxsize, ny
    )
    level, threshold = sky.level(0, ny), sky.rms(0, ny)
    level[mask] = 0.0
    with np.errstate(invalid="ignore"):  # of signalling NaN
        image = np.subtract(sci, level, out=level)
    threshold *= how.snr_threshold
    if how.starfinder == "segmentation":
        found = _segments(image, mask, np.where(mask, np.float32(0), threshold), how)
    else:
        typical = float(np.median(threshold[~mask], overwrite_input=True))
        found = {"iraf": _starfind, "dao": _daofind}[how.starfinder](image, mask, typical, how)
    finite = np.all([np.isfinite(found[name]) for name in ("x", "y", "flux")], axis=0)
    if not finite.all():
        found = table_of(*(found[name][finite] for name in ("x", "y", "flux")))
    log.info("%d sources (%s, %g sigma)", len(found["id"]), how.starfinder, how.snr_threshold)
    return found


def _starfind(image, mask, threshold, how):
    """Find sources as IRAF's task ``starfind`` does, from the moments of the light about peaks."""
    disc, kernel = _star(how.kernel_fwhm, how.sigma_radius)
    smooth = np.empty_like(image)
    convolve(image, kernel, smooth)
    peaks = _peaks(smooth, threshold, mask, how.min_separation)
    reach = len(disc) // 2
    offsets = np.arange(-reach, reach + 1)
    padded = np.pad(image, reach)
    light = padded[
        peaks[:, 1, None, None] + reach + offsets[:, None],
        peaks[:, 0, None, None] + reach + offsets,
    ].astype(float)
    light -= light[:, ~disc].mean(axis=1)[:, None, None]
    light = np.where(disc, np.maximum(light, 0.0), 0.0)
    flux = light.sum(axis=(1, 2))
    known = np.flatnonzero(np.isfinite(flux) & (np.count_nonzero(light, axis=(1, 2)) > 1))
    flux, share = flux[known], light[known] / flux[known, None, None]
    x, y = share.sum(axis=1) @ offsets, share.sum(axis=2) @ offsets
    dx, dy = offsets - x[:, None], offsets - y[:, None]
    xx = np.sum(share.sum(axis=1) * dx**2, axis=1)
    yy = np.sum(share.sum(axis=2) * dy**2, axis=1)
    xy = np.einsum("nij,ni,nj->n", share, dy, dx)
    sharpness = 2 * np.sqrt(np.log(2) * (xx + yy)) / how.kernel_fwhm
    roundness = np.hypot(xx - yy, 2 * xy) / (xx + yy)
    good = (how.sharplo <= sharpness) & (sharpness <= how.sharphi)
    good &= (how.roundlo <= roundness) & (roundness <= how.roundhi)
    if how.peakmax is not None:
        good &= light[known].max(axis=(1, 2)) <= how.peakmax
    chosen = np.flatnonzero(good)
    if how.brightest is not None:
        chosen = chosen[np.argsort(flux[good])[::-1][: how.brightest]]
    px, py = peaks[known[chosen]].T
    return table_of(px + x[chosen], py + y[chosen], flux[chosen])


def _star(fwhm, sigma_radius):
    """Return which pixels of a small image belong to a star, and a star less its mean on these."""
    sigma = fwhm * FWHM_TO_SIGMA
    radius = max(2.0, sigma_radius * sigma)
    reach = int(radius)
    if 2 * reach**2 <= radius**2:  # the corners are for the sky
        reach += 1
    square = np.add.outer(*2 * [np.arange(-reach, reach + 1.0) ** 2])
    disc = square <= radius**2
    gaussian = np.where(disc, np.exp(-square / (2 * sigma**2)), 0.0)
    kernel = np.where(disc, gaussian - gaussian[disc].mean(), 0.0)
    return disc, kernel / np.sum(kernel**2)


def _daofind(image, mask, threshold, how):
    """Find sources by photutils' DAOFIND."""
    from photutils import use_future_column_names
    from photutils.detection import DAOStarFinder
    from photutils.utils import NoDetectionsWarning

    finder = partial(
        DAOStarFinder,
        threshold,
        how.kernel_fwhm,
        sigma_radius=how.sigma_radius,
        min_separation=how.min_separation,
        sharpness_range=(how.sharplo, how.sharphi),
        roundness_range=(how.roundlo, how.roundhi),
        n_brightest=how.brightest,
        peak_max=how.peakmax,
    )
    smooth = np.empty_like(image)
    detector = finder()
    convolve(image, detector.kernel.data, smooth)
    peaks = _peaks(smooth, detector.threshold_eff, mask, how.min_separation)
    found = None
    if len(peaks):
        # What is too bright for float32 has no roundness, and is left out by photutils.
        with warnings.catch_warnings(), use_future_column_names(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", NoDetectionsWarning)
            found = finder(xycoords=peaks)(image)
    if found is None:
        return table_of([], [], [])
    return table_of(found["x_centroid"], found["y_centroid"], found["flux"])


def _peaks(image, threshold, mask, radius):
    """Return the pixels (x, y) above the threshold that are the maximum of their disc.

    photutils' own search gives the same peaks but also looks at every maximum of the noise.
    """
    ny, nx = image.shape
    y, x = np.divmod(np.flatnonzero((image > threshold) & ~mask), nx)
    value = image[y, x]
    peak = np.ones(len(y), dtype=bool)
    offsets = range(-radius, radius + 1)
    for dy in offsets:
        for dx in offsets:
            if dx**2 + dy**2 <= radius**2:
                # at the edge in place of a pixel beyond, one that is nearer
                near = np.clip(y + dy, 0, ny - 1), np.clip(x + dx, 0, nx - 1)
                peak &= ~(image[near] > value)
    return np.column_stack([x[peak], y[peak]])


def _segments(image, mask, threshold, how):
    """Find sources by segmentation."""
    from astropy.convolution import Gaussian2DKernel
    from astropy.convolution import convolve as convolve_around_bad
    from photutils import use_future_column_names
    from photutils.segmentation import SourceCatalog, SourceFinder
    from photutils.utils import NoDetectionsWarning

    smooth = image
    # Sums of what is too bright for float32 are no numbers, and left out by `find_sources`.
    with warnings.catch_warnings(), use_future_column_names(), np.errstate(all="ignore"):
        # No source is no fault; nor is a bad region larger than the kernel, where none is sought.
        warnings.simplefilter("ignore", NoDetectionsWarning)
        warnings.filterwarnings("ignore", message="nan_treatment='interpolate'")
        if how.kernel_fwhm > 0:
            kernel = Gaussian2DKernel(how.kernel_fwhm * FWHM_TO_SIGMA)
            smooth = convolve_around_bad(image, kernel, mask=mask)
        finder = SourceFinder(
            n_pixels=how.npixels,
            connectivity=int(how.connectivity),
            n_levels=how.nlevels,
            contrast=how.contrast,
            mode=how.multithresh_mode,
            deblend=how.deblend,
            progress_bar=False,
        )
        segments = finder(smooth, threshold, mask=mask)
        if segments is None:
            return table_of([], [], [])
        found = SourceCatalog(
            image,
            segments,
            mask=mask,
            convolved_data=smooth,
            local_bkg_width=how.localbkg_width,
        )
        return table_of(found.x_centroid, found.y_centroid, found.segment_flux)


def refine(
    sources: Sources, sci: np.ndarray, dq: np.ndarray, fwhm: float, err: np.ndarray | None = None
) -> None:
    """Measure positions under a Gaussian window of the detection kernel's width, in place.

    Those of the star finders move with the phase of the pixels: by 0.05 pixels for NIRCam.

    Parameters
    ----------
    sources : dict of (n,) arrays
        As `find_sources` returns them. With `err` gets ``error``, of either coordinate, pixels.
    sci, dq, err : (ny, nx) arrays
        Image, data quality and standard deviation of pixels.
    fwhm : float
        Of the detection kernel, pixels.
    """
    bad = ((dq & (DO_NOT_USE | NON_SCIENCE)) != 0) | np.isinf(sci)
    image = np.where(bad, np.float32(np.nan), sci)
    sigma, x, y = fwhm * FWHM_TO_SIGMA, sources["x"], sources["y"]
    windowed_centroids(image, sigma, x, y)
    if err is not None:
        error = np.empty(len(x))
        centroid_errors(image, np.ascontiguousarray(err, np.float32), sigma, x, y, error)
        sources["error"] = np.where(np.isfinite(error), error, UNKNOWN_ERROR)


def table_of(x, y, flux):
    """Return sources as columns, numbered from 1."""
    columns = {"x": x, "y": y, "flux": flux}
    table = {name: np.array(column, dtype=np.float64) for name, column in columns.items()}
    return {"id": np.arange(1, len(table["x"]) + 1), **table}
