"""Sources of a mosaic in pieces: those of photutils on the whole, and the same in any pieces."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from astropy.convolution import Gaussian2DKernel, convolve
from astropy.stats import SigmaClip, gaussian_fwhm_to_sigma
from astropy.utils.exceptions import AstropyUserWarning
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from photutils.background import Background2D, MedianBackground
from photutils.segmentation import SourceCatalog, SourceFinder
from scipy.ndimage import label as label_connected

from snakewebb.kernels.detection import connect, smooth
from snakewebb.sources import catalog as step
from snakewebb.sources import detection, segmentation_map
from snakewebb.sources import mosaic as mosaic_module
from snakewebb.sources.background import Background
from snakewebb.wcs.grid import Grid

OPTIONS = {
    "snr_threshold": 3.0,
    "kernel_fwhm": 2.0,
    "npixels": 8,
    "connectivity": 8,
    "nlevels": 32,
    "contrast": 0.001,
    "multithresh_mode": "exponential",
    "localbkg_width": 0,
    "deblend": True,
}
NIRCAM = {"name": "NIRCAM", "filter": "F200W", "pupil": "CLEAR", "detector": "NRCA1"}


def catalog_of(mosaic, **options):
    """Make jwst's catalogue; options by their names, as the configuration has them."""
    options = {"starfinder": "segmentation", **options}
    how = {field.name for field in dataclasses.fields(step.CatalogOptions)} & options.keys()
    others = {name: value for name, value in options.items() if name not in how}
    return step.source_catalog(
        mosaic, step.CatalogOptions(**{name: options[name] for name in how}), **others
    )


def crowd(shape, sources, seed, border=0):
    """Stars and galaxies, many of them blended, on a sky with a slope; an empty border."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    data = rng.normal(1.0, 0.05, shape) + 0.3 * x / nx
    for _ in range(sources):
        x0, y0 = rng.uniform(0, nx), rng.uniform(0, ny)
        width, flux = rng.uniform(1.2, 4.0), 10 ** rng.uniform(0.5, 2.5)
        near = np.s_[max(int(y0) - 40, 0) : int(y0) + 41, max(int(x0) - 40, 0) : int(x0) + 41]
        square = (x[near] - x0) ** 2 + ((y[near] - y0) * rng.uniform(0.6, 1.0)) ** 2
        data[near] += flux / (2 * np.pi * width**2) * np.exp(-0.5 * square / width**2)
    # one long source through all pieces
    data += 3.0 * np.exp(-0.5 * ((x - 0.3 * nx - 0.2 * y) / 2.0) ** 2) * (y > 0.1 * ny)
    mask = np.ones(shape, bool)
    mask[border : ny - border, border : nx - border] = False
    mask |= rng.random(shape) < 0.002
    data[mask] = np.nan
    data[rng.random(shape) < 0.001] = np.nan
    err = np.where(mask, np.nan, 0.05)
    grid = Grid((150.0, 2.0), (nx / 2, ny / 2), 1e-5, ((-1.0, 0.0), (0.0, 1.0)), shape, 1.0)
    return mosaic_module.Mosaic(data.astype(np.float32), err.astype(np.float32), mask, grid, NIRCAM)


@pytest.fixture(scope="module")
def mosaic():
    return crowd((400, 300), 150, seed=1, border=9)


def background_of(mosaic, boxsize=100):
    return Background(lambda *ends: mosaic.rows(*ends)[::2], mosaic.shape, boxsize, 64)


# --- photutils -----------------------------------------------------------------------------------


@pytest.mark.parametrize("connectivity", [4, 8])
@settings(deadline=None, max_examples=100)
@given(above=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_labels_are_scipys(above, connectivity):
    labels = np.empty(above.shape, np.int32)
    number = connect(above, connectivity, labels)
    expected, count = label_connected(above, np.ones((3, 3)) if connectivity == 8 else None)
    assert number == count
    np.testing.assert_array_equal(labels, expected)


def test_smoothing_is_astropys():
    rng = np.random.default_rng(2)
    data = rng.normal(size=(50, 41)).astype(np.float32)
    data[20:23, 10:13] = np.nan
    mask = np.zeros(data.shape, bool)
    mask[:4] = mask[40:, 30:] = True
    kernel = Gaussian2DKernel(2.5 * gaussian_fwhm_to_sigma)
    with pytest.warns(AstropyUserWarning, match="larger than the kernel"):
        expected = convolve(data, kernel, mask=mask)
    smoothed = np.empty_like(data)
    smooth(data, mask | np.isnan(data), detection.gaussian(2.5), 0, smoothed)
    np.testing.assert_allclose(smoothed, expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(smoothed).any()


class Nearest:
    """Stands in for photutils' interpolator: of meshes as far as the tenth, all count."""

    def __init__(self, places, values):
        self.places, self.values = places, values

    def __call__(self, wanted, *, n_neighbors, **_):
        square = np.sum((wanted[:, None] - self.places) ** 2.0, axis=2)
        farthest = np.sort(square, axis=1)[:, :n_neighbors][:, -1:]
        weight = np.where(square <= farthest, square, np.inf) ** -0.5
        return weight @ self.values / weight.sum(axis=1)


@pytest.mark.parametrize("boxsize", [30, 64, 1000])
def test_background_is_photutils(mosaic, boxsize, monkeypatch):
    monkeypatch.setattr("photutils.background.background_2d.ShepardIDWInterpolator", Nearest)
    data, _, mask = mosaic.rows(0, 400)
    data = data.copy()
    data[:, 200:240] = np.nan
    ours = Background(lambda a, b: (data[a:b], mask[a:b]), data.shape, boxsize, 37)
    options = {"mask": ~np.isfinite(data), "coverage_mask": mask, "filter_size": 3}
    options |= {"sigma_clip": SigmaClip(3.0), "bkg_estimator": MedianBackground()}
    try:
        expected = Background2D(data, boxsize, **options)
    except ValueError:
        expected = Background2D(data, data.shape, exclude_percentile=100.0, **options)
    # scipy's zoom goes wrong where meshes are few
    for name, rows in (("background", ours.level), ("background_rms", ours.rms)):
        image = getattr(expected, name)
        atol = 1e-6 + 2e-4 * np.ptp(getattr(expected, f"{name}_mesh"))
        np.testing.assert_allclose(rows(0, 400)[~mask], image[~mask], atol=atol, rtol=0)
        np.testing.assert_array_equal(rows(50, 60), rows(0, 400)[50:60])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"connectivity": 4, "npixels": 25},
        {"multithresh_mode": "linear", "nlevels": 10},
        {"multithresh_mode": "sinh", "contrast": 0.05},
        {"deblend": False, "localbkg_width": 12},
        {"localbkg_width": 5, "kernel_fwhm": 3.3},
    ],
)
def test_sources_are_photutils(mosaic, options):
    options = OPTIONS | options
    background = background_of(mosaic)
    columns, segments = detection.find_segments(mosaic, background, step.CatalogOptions(**options))

    data, err, mask = mosaic.rows(0, 400)
    data = data - np.where(mask, 0, background.level(0, 400))
    bad = mask | ~np.isfinite(data)
    smoothed = np.empty_like(data)
    smooth(data, bad, detection.gaussian(options["kernel_fwhm"]), 0, smoothed)
    finder = SourceFinder(
        options["npixels"],
        connectivity=options["connectivity"],
        deblend=options["deblend"],
        n_levels=options["nlevels"],
        contrast=options["contrast"],
        mode=options["multithresh_mode"],
        progress_bar=False,
    )
    expected = finder(smoothed, 3.0 * background.rms(0, 400), mask=mask)
    assert expected.n_labels > 40
    np.testing.assert_array_equal(segments.rows(0, 400), expected.data)
    width = options["localbkg_width"]
    shapes = SourceCatalog(
        data, expected, convolved_data=smoothed, error=err, mask=mask, local_bkg_width=width
    )
    for name, values in {
        "label": shapes.labels,
        "xcentroid": shapes.x_centroid,
        "ycentroid": shapes.y_centroid,
        "isophotal_flux": shapes.segment_flux,
        "isophotal_flux_err": shapes.segment_flux_err,
        "isophotal_area": shapes.area.value,
        "semimajor_sigma": shapes.semimajor_axis.value,
        "semiminor_sigma": shapes.semiminor_axis.value,
        "ellipticity": shapes.ellipticity.value,
    }.items():
        np.testing.assert_allclose(columns[name], values, rtol=2e-5, atol=2e-5, err_msg=name)
    turn = columns["orientation"] - shapes.orientation.value
    elongated = columns["ellipticity"] > 0.05
    assert np.abs((turn[elongated] + 90) % 180 - 90).max() < 0.01
    y1, y2, x1, x2 = columns["box"].T
    np.testing.assert_array_equal(
        [y1, y2 - 1, x1, x2 - 1],
        [shapes.bbox_ymin, shapes.bbox_ymax, shapes.bbox_xmin, shapes.bbox_xmax],
    )


# --- pieces --------------------------------------------------------------------------------------


def assert_same(one, other):
    ny = one.segmentation.shape[0]
    np.testing.assert_array_equal(one.segmentation.rows(0, ny), other.segmentation.rows(0, ny))
    assert one.status == other.status
    for name in one.table.colnames:
        values = [catalog.table[name] for catalog in (one, other)]
        if "sky_bbox" in name or name == "sky_centroid":
            values = [np.array([value.ra.deg, value.dec.deg]) for value in values]
        np.testing.assert_array_equal(*map(np.asarray, values), err_msg=name)


@pytest.mark.parametrize(
    "options",
    [
        {"bkg_boxsize": 90, "npixels": 8},
        {"bkg_boxsize": 1000, "npixels": 8, "connectivity": 4, "localbkg_width": 10},
        {"bkg_boxsize": 64, "npixels": 8, "deblend": False, "kernel_fwhm": 4.1},
    ],
)
def test_pieces_and_threads_change_nothing(mosaic, monkeypatch, options):
    whole = catalog_of(mosaic, **options)
    assert len(whole.table) > 60
    for rows, threads in ((1, 3), (7, 1), (64, 2), (399, 1)):
        monkeypatch.setattr(segmentation_map, "PIECE", rows * mosaic.shape[1])
        assert_same(catalog_of(mosaic, threads=threads, **options), whole)


def test_pieces_change_nothing_for_stars(mosaic, monkeypatch):
    options = {"starfinder": "dao", "bkg_boxsize": 100, "roundlo": -1.0, "roundhi": 1.0}
    whole = catalog_of(mosaic, **options)
    assert len(whole.table) > 10
    monkeypatch.setattr(segmentation_map, "PIECE", 20 * mosaic.shape[1])
    assert_same(catalog_of(mosaic, **options), whole)


class Flat:
    """A background of 0 with an rms of 0.1."""

    def __init__(self, width):
        self.width = width

    def level(self, start, stop, columns=slice(None)):
        return np.zeros((stop - start, self.width), np.float32)[:, columns]

    def rms(self, start, stop):
        return np.full((stop - start, self.width), 0.1, np.float32)


@settings(deadline=None, max_examples=60)
@given(
    image=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 24), st.integers(1, 12)),
        elements=st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0, 9.0, np.nan]),
    ),
    rows=st.integers(1, 24),
    connectivity=st.sampled_from([4, 8]),
    npixels=st.integers(1, 6),
)
def test_any_image_in_any_pieces(image, rows, connectivity, npixels):
    mask = np.isnan(image) & (np.arange(image.shape[1]) % 2 == 0)
    mosaic = mosaic_module.Mosaic(image, np.ones_like(image), mask, None, {})
    options = OPTIONS | {"connectivity": connectivity, "npixels": npixels, "kernel_fwhm": 0.7}
    found = []
    piece = segmentation_map.PIECE
    for size in (piece, rows * image.shape[1]):
        segmentation_map.PIECE = size
        try:
            how = step.CatalogOptions(**options)
            found.append(detection.find_segments(mosaic, Flat(image.shape[1]), how))
        finally:
            segmentation_map.PIECE = piece
    (whole, map_of_whole), (parts, map_of_parts) = found
    assert whole.keys() == parts.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
    ny = len(image)
    labels = map_of_whole.rows(0, ny)
    np.testing.assert_array_equal(labels, map_of_parts.rows(0, ny))
    assert set(np.unique(labels)) - {0} == set(whole["label"])


@dataclasses.dataclass
class Endless:
    """A mosaic that repeats one of 300 rows."""

    tile: mosaic_module.Mosaic
    shape: tuple[int, int]

    def __post_init__(self):
        self.grid = dataclasses.replace(self.tile.grid, shape=self.shape)
        self.instrument, self.flaw, self.correlation = NIRCAM, "", None
        self.has_errors, self.pixfrac = self.tile.has_errors, self.tile.pixfrac

    def rows(self, start, stop):
        return tuple(plane[np.arange(start, stop) % 300] for plane in self.tile.rows(0, 300))

    def fill(self, start, data, err, weight=None):
        data[:], err[:], _ = self.rows(start, start + len(data))


def test_memory_does_not_grow_with_the_mosaic(tmp_path, monkeypatch):
    tile = crowd((300, 1000), 60, seed=3)
    tile.data[:, 250:450] = 1.0 + 0.05 * np.random.default_rng(4).normal(size=(300, 200))
    monkeypatch.setattr(segmentation_map, "PIECE", 100_000)
    peaks = []
    for ny in (600, 3000):
        with (tmp_path / "scratch").open("w+b") as scratch:
            tracemalloc.start()
            catalog = catalog_of(Endless(tile, (ny, 1000)), bkg_boxsize=300, scratch=scratch)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert len(catalog.table) > 20 * ny / 300
    assert peaks[1] < 1.15 * peaks[0]
    assert peaks[1] < 60 * segmentation_map.PIECE  # bytes
