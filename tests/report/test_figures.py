"""Pictures and plots of the report, and its table."""

import subprocess
import sys
import tracemalloc
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from snakewebb.astrometry.alignment import AlignmentResult, ExposureAlignment, ReferenceFit
from snakewebb.errors import InputError
from snakewebb.mosaicking.sky_levels import ExposureSky, SkyPair, SkyResult
from snakewebb.report.exposure_figures import plot_alignment, plot_outliers, plot_sky
from snakewebb.report.exposure_status import read_status, write_table
from snakewebb.report.figures import drawn
from snakewebb.report.pictures import dots, plot_mosaic, plot_sources, roundest, stretch
from snakewebb.report.placement_figures import plot_placements
from snakewebb.report.scaling import block_average, shades
from snakewebb.report.status import outlier_status
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.layout import Layout

GREY, BLUE, RED, ORANGE = (209, 209, 209), (0, 114, 178), (213, 94, 0), (230, 159, 0)


def naive_block_average(image, factor):
    ny, nx = image.shape
    averages = np.full((-(-ny // factor), -(-nx // factor)), np.nan)
    for j in range(averages.shape[0]):
        for i in range(averages.shape[1]):
            block = image[j * factor : (j + 1) * factor, i * factor : (i + 1) * factor]
            block = block[np.isfinite(block) & (block != 0)]
            if block.size:
                averages[j, i] = block.mean(dtype=float)
    return averages


def write_mosaic(path, image, angle=30.0):
    """Write a mosaic whose y axis has a position angle in degrees."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    hdu = fits.ImageHDU(image.astype(np.float32), name="SCI")
    hdu.header.update(
        {
            "BUNIT": "MJy/sr",
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CRPIX1": 10.0,
            "CRPIX2": 20.0,
            "CRVAL1": 150.1,
            "CRVAL2": -2.2,
            "CDELT1": 1.7e-5,
            "CDELT2": 1.7e-5,
            "PC1_1": -c,
            "PC1_2": s,
            "PC2_1": s,
            "PC2_2": c,
        }
    )
    primary = fits.PrimaryHDU()
    primary.header.update({"INSTRUME": "NIRCAM", "FILTER": "F356W"})
    fits.HDUList([primary, hdu]).writeto(path)
    return path


def write_catalog(folder, catalog):
    """Write a catalogue as ECSV and as FITS table."""
    paths = [folder / "cat.ecsv", folder / "cat.fits"]
    catalog.write(paths[0], format="ascii.ecsv")
    rows = fits.BinTableHDU(catalog.as_array(), name="CATALOG")
    fits.HDUList([fits.PrimaryHDU(), rows]).writeto(paths[1])
    return paths


def sky(shape, seed=1):
    return np.random.default_rng(seed).normal(0.3, 0.01, shape)


def colored(picture, color):
    """Return the (x, y) of all pixels of a colour, y down."""
    rgb = np.round(255 * imread(picture)[..., :3])
    y, x = np.nonzero((np.abs(rgb - color) <= 3).all(axis=-1))
    return np.column_stack((x, y))


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 60), (1400, 9), (2037, 70), (30, 2700)])
def test_blocks_are_averages_of_what_has_data(tmp_path, shape):
    image = sky(shape)
    image[3:9, 2:7] = np.nan
    image[-1, -3:] = 0.0
    factor = dots(shape)
    assert factor == max(1, shape[0] // 678, shape[1] // 1320)
    averages = block_average(write_mosaic(tmp_path / "i2d.fits", image), factor)
    expected = naive_block_average(image.astype(np.float32), factor)
    np.testing.assert_allclose(averages, expected, rtol=1e-6)
    assert np.isnan(averages).any()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_shades_are_those_of_the_stretch(scale):
    image = (sky((300, 300)) + 10.0 ** np.linspace(-4, 3, 300)).astype(np.float32)
    image[:5, :9] = np.nan
    image[5] = -np.inf
    image[6] = np.inf
    image *= np.float32(scale)
    norm, _ = stretch(image)
    good = np.isfinite(image)
    expected = 1 + 254 * np.clip(norm(np.where(good, image, 0).astype(float)), 0, 1)
    found = shades(image, norm)
    assert (found[~good] == 0).all()
    assert (found[good] > 0).all()
    assert np.abs(found[good] - expected[good]).max() < 1.2  # rounded down, one beside at most


def test_memory_is_that_of_some_rows(tmp_path):
    path = write_mosaic(tmp_path / "i2d.fits", np.ones((6000, 3000), np.float32))
    tracemalloc.start()
    block_average(path, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6 < path.stat().st_size / 2


@settings(deadline=None, max_examples=200)
@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e-6, 10),
)
def test_round_numbers_lie_in_their_interval_and_have_the_fewest_digits(low, fraction):
    high = low + fraction * max(abs(low), 1e-6)
    number = roundest(low, high)
    slack = 1e-9 * max(abs(low), abs(high))
    assert low - slack <= number <= high + slack
    if number:
        digits = len(f"{abs(number):.12e}".partition("e")[0].replace(".", "").rstrip("0"))
        exponent = int(f"{abs(number):.12e}".partition("e")[2])
        coarser = 10.0 ** (exponent - digits + 2)
        assert np.floor((high - slack) / coarser) * coarser < low + slack


def test_stretch_is_linear_in_the_sky_and_logarithmic_above():
    image = sky((200, 200))
    image[:5, :5] = 100.0
    image[100] = np.nan
    norm, ticks = stretch(image)
    sigma = 0.01
    dark, bright = (float(norm(v)) for v in (0.3 - sigma, 0.3 + sigma))
    assert float(norm(0.3)) == pytest.approx((dark + bright) / 2, abs=1e-3)
    tens = [float(norm(v)) for v in (1.3, 10.3, 100.3)]
    assert tens[2] - tens[1] == pytest.approx(tens[1] - tens[0], rel=0.01)
    assert norm.inverse(float(norm(2.5))) == pytest.approx(2.5)
    assert norm.vmin <= ticks[0]
    assert ticks[-1] <= norm.vmax
    assert (np.diff(ticks) > 0).all()


@pytest.mark.parametrize("value", [np.nan, 0.0, 5.0, -3.0])
def test_an_image_without_contrast_is_drawn(tmp_path, value):
    path = write_mosaic(tmp_path / "i2d.fits", np.full((30, 40), value))
    plot_mosaic(path, tmp_path / "mosaic.png")
    blank = len(colored(tmp_path / "mosaic.png", GREY)) > 100_000
    assert blank == (np.isnan(value) or value == 0)


@pytest.mark.parametrize(
    ("shape", "angle"),
    [((50, 50), 0.0), ((300, 2000), 45.0), ((2000, 300), 100.0), ((9, 300), 200.0)],
)
def test_pictures_fit_the_report(tmp_path, shape, angle):
    path = write_mosaic(tmp_path / "i2d.fits", sky(shape), angle)
    plot_mosaic(path, tmp_path / "mosaic.png")
    height, width = imread(tmp_path / "mosaic.png").shape[:2]
    assert 1.29 * height < width <= 1320


def test_where_there_is_no_data_is_grey(tmp_path):
    image = sky((400, 400))
    image[:200, :200] = np.nan
    plot_mosaic(write_mosaic(tmp_path / "i2d.fits", image), tmp_path / "mosaic.png")
    blank = colored(tmp_path / "mosaic.png", GREY)
    assert len(blank) == pytest.approx(339**2, rel=0.05)  # less the lines of the sky grid
    np.testing.assert_allclose(blank.mean(axis=0), (242 + 339 / 2, 102 + 339 * 3 / 2), atol=10)


def test_sources_are_circled_where_they_are(tmp_path):
    # A cross of stars in a large mosaic, one of them extended.
    image, yx = sky((3000, 4000)), np.mgrid[:3000, :4000]
    stars = {(700.0, 2500.0): False, (3100.0, 400.0): True}
    for x, y in stars:
        image += 1e4 * np.exp(-((yx[0] - y) ** 2 + (yx[1] - x) ** 2) / (2 * 6.0**2))
    path = write_mosaic(tmp_path / "i2d.fits", image)
    catalog = Table(
        {
            "xcentroid": [x for x, _ in stars],
            "ycentroid": [y for _, y in stars],
            "is_extended": list(stars.values()),
        },
        meta={"source_catalog": {"reason": "", "apcorr": "a model"}},
    )
    plot_sources(path, write_catalog(tmp_path, catalog), tmp_path / "sources.png")
    black = colored(tmp_path / "sources.png", (0, 0, 0))
    for color in (BLUE, RED):
        ring = colored(tmp_path / "sources.png", color)
        ring = ring[ring[:, 1] > 102]  # not that of the legend
        middle = (ring.min(axis=0) + ring.max(axis=0)) / 2
        inside = black[np.hypot(*(black - middle).T) < 6]
        assert len(inside) > 3
        np.testing.assert_allclose(inside.mean(axis=0), middle, atol=0.8)


def test_a_catalogue_without_sources_is_drawn(tmp_path):
    path = write_mosaic(tmp_path / "i2d.fits", sky((50, 60)))
    columns = {"xcentroid": float, "ycentroid": float, "is_extended": bool}
    catalog = Table(
        names=list(columns),
        dtype=list(columns.values()),
        meta={"source_catalog": {"reason": "no source 3 sigma above the background"}},
    )
    plot_sources(path, write_catalog(tmp_path, catalog), tmp_path / "sources.png")
    assert (tmp_path / "sources.png").stat().st_size > 10_000


def test_no_mosaic_no_picture(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "i2d.fits")
    with pytest.raises(InputError, match="no 2-D SCI"):
        plot_mosaic(tmp_path / "i2d.fits", tmp_path / "mosaic.png")
    assert not (tmp_path / "mosaic.png").exists()


SKY = sky((20, 25))
ODD = {
    "one pixel": np.ones((1, 1)),
    "a row": np.arange(30.0)[None],
    "a column": np.arange(30.0)[:, None],
    "infinite in places": np.where(SKY > 0.31, np.inf, SKY),
    "infinite": np.full((5, 5), np.inf),
    "very bright": SKY * 1e38,
    "very faint": SKY * 1e-38,
    "no noise": np.full((9, 9), 1e30),
    "rounding noise": np.where(SKY > 0.3, 1 + 2**-23, 1.0),
    "two levels": np.where(SKY > 0.3, 1e30, -1e30),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_mosaics_are_drawn(tmp_path, kind):
    plot_mosaic(write_mosaic(tmp_path / "i2d.fits", ODD[kind]), tmp_path / "mosaic.png")
    assert imread(tmp_path / "mosaic.png").shape[1] > 900


def test_sources_at_odd_places_are_drawn(tmp_path):
    path = write_mosaic(tmp_path / "i2d.fits", np.ones((1, 1)))
    columns = {"xcentroid": [np.nan, 1e30], "ycentroid": [0.0, 1e30], "is_extended": [True, False]}
    meta = {"source_catalog": {"reason": "cost $x^{2"}}
    catalog = write_catalog(tmp_path, Table(columns, meta=meta))
    plot_sources(path, catalog, tmp_path / "sources.png")


def test_a_picture_that_fails_says_why_and_stops_nothing(tmp_path, caplog):
    names = ("x_mosaic.png", "x_sky.png", "x_status.html")
    for path in (tmp_path / name for name in names):
        with drawn(path):
            plot_mosaic(tmp_path / "lost_<b>i2d</b>_$x^{.fits", path)
    with drawn(tmp_path / "x_good.png"):
        plot_mosaic(write_mosaic(tmp_path / "i2d.fits", SKY), tmp_path / "x_good.png")
    height, width, _ = imread(tmp_path / "x_mosaic.png").shape
    assert width == 1320
    assert 1.3 * height < width
    dark = [(imread(tmp_path / name)[..., :3] < 0.5).all(axis=-1) for name in names[:2]]
    assert dark[0].sum() > 1000
    assert not np.array_equal(*dark)  # each has its own name
    text = (tmp_path / "x_status.html").read_text()
    assert "x_status could not be drawn" in text
    assert "lost_&lt;b&gt;i2d&lt;/b&gt;_$x^{.fits: there is no such file" in text
    assert imread(tmp_path / "x_good.png").shape[0] > 500
    told = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in told] == [f"not drawn: {name}" for name in names]


def test_pictures_of_what_cannot_be_read_all_say_why(tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.html")]
    with drawn(*paths):
        raise MemoryError
    assert all(path.stat().st_size > 500 for path in paths)
    assert "MemoryError" in paths[2].read_text()


def test_no_space_for_a_picture_is_an_error(tmp_path):
    with pytest.raises(OSError, match="cannot be written"), drawn(tmp_path / "lost" / "a.png"):
        raise ValueError


def test_pictures_are_the_same_each_time(tmp_path):
    path = write_mosaic(tmp_path / "i2d.fits", sky((60, 80)))
    for name in ("a", "b"):
        plot_mosaic(path, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pyplot_is_not_imported(repo):
    code = "import sys, snakewebb.report.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(repo / "lib")})


# --- exposures -----------------------------------------------------------------------------------


def aligned(**values):
    return {
        "status": "COMPLETE",
        "reason": "",
        "n_matches": 80,
        "offset": (12.3, -45.6),
        "rms_before": 60.0,
        "rms_after": 5.0,
        **values,
    }


FAILED = {
    "status": "FAILED",
    "reason": "only <i>7 sources",
    "n_matches": 0,
    "offset": (0.0, 0.0),
    "rms_before": None,
    "rms_after": None,
}
PAIR = SkyPair(("a", "b"), 0.03, 0.0004, 1e5)
ALONE = "no other exposure overlaps it"


def product(folder, alignment, levels=None, fractions=None, step="tweakreg"):
    """Write what the steps left of a product and read its status."""
    names = list(alignment)
    paths = [folder / f"{name}_o001_crf.fits" for name in names]
    for path, fraction in zip(paths, fractions or [None] * len(names), strict=True):
        primary, sci = fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2), np.float32), name="SCI")
        sci.header["BUNIT"] = "MJy/sr"
        if fraction is None:
            primary.header["S_OUTLIR"] = "SKIPPED"
            primary.header["HISTORY"] = "something else"
            primary.header["HISTORY"] = "snakewebb: outlier_detection SKIPPED: only one exposure"
        else:
            primary.header.update({"S_OUTLIR": "COMPLETE", "SWB_OUTL": fraction})
        fits.HDUList([primary, sci]).writeto(path)
    exposures = {name: ExposureAlignment(**values) for name, values in alignment.items()}
    islands = (ReferenceFit("COMPLETE", "", 20, 9, 13.21),)
    grid = Grid((1.0, 2.0), (3.0, 4.0), 1e-5, ((-1.0, 0.0), (0.0, 1.0)), (5, 6))
    result = AlignmentResult(step, {}, exposures, islands, {}, Layout(grid, {}))
    result.write(folder / "alignment.json")
    if levels:
        ends = {}
        for name, level in zip(names, levels, strict=True):
            end = ("SKIPPED", ALONE) if level is None else ("COMPLETE", "")
            ends[name] = ExposureSky(name, level, level, *end)
        SkyResult("match", ends, pairs=[PAIR], rms=0.0004).write(folder / "sky.json")
    return read_status(folder / "alignment.json", folder / "sky.json" if levels else None, paths)


class Cells(HTMLParser):
    """The text of each table cell by row; checks that tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag in ("br", "meta"):
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.mark.parametrize("reason", ["it is so", *("x" * n + " yz" * n for n in range(28, 42))])
def test_reasons_of_any_length_are_read_whole(reason):
    """Cards of a history hold 72 characters."""
    primary = fits.Header({"S_OUTLIR": "SKIPPED"})
    for line in (
        "of others",
        "snakewebb: outlier_detection SKIPPED: before",
        f"snakewebb: outlier_detection SKIPPED: {reason}",
        "snakewebb: resample FAILED: not this",
    ):
        primary.add_history(line)
    assert outlier_status(primary)["reason"] == reason.strip()


def test_status_and_table(tmp_path):
    status = product(
        tmp_path,
        {"jw_a": aligned() | {"error": 0.213}, "jw_b": FAILED},
        [0.0123456, None],
        [0.0123, 0.02],
    )
    assert list(status.exposures) == ["jw_a", "jw_b"]
    assert status.exposures["jw_b"]["tweakreg"] == vars(ExposureAlignment(**FAILED))
    assert status.exposures["jw_a"]["outlier_detection"]["fraction"] == 0.0123
    write_table(status, tmp_path / "status.html")
    text = (tmp_path / "status.html").read_text()
    rows = Cells(text).rows[2:]
    done = "COMPLETE"
    assert rows == [
        [
            *("jw_a", done, "80", "+12.3", "-45.6", "60.0", "5.0", "0.21"),
            *(done, "0.012346", done, "1.23", ""),
        ],
        [
            *("jw_b", "FAILED", "0", "+0.0", "+0.0", "", "", "", "SKIPPED", "", done, "2.00"),
            "tweakreg: only <i>7 sources; skymatch: no other exposure overlaps it",
        ],
    ]
    assert "9 stars matched, rms 13.2 mas" in text
    assert "http" not in text


def test_skipped_steps_are_said_to_be(tmp_path):
    skipped = {"status": "SKIPPED", "reason": "skip is set"}
    status = product(tmp_path, {"jw_a": skipped, "jw_b": skipped})
    ends = status.exposures["jw_a"]
    assert ends["skymatch"] == skipped
    assert ends["outlier_detection"]["reason"] == "only one exposure"
    write_table(status, tmp_path / "status.html")
    assert Cells((tmp_path / "status.html").read_text()).rows[2][1:3] == ["SKIPPED", ""]
    for plot in (plot_alignment, plot_sky, plot_outliers):
        plot(status, tmp_path / "plot.png")
        assert not len(colored(tmp_path / "plot.png", BLUE))


def test_plots_show_each_exposure_where_it_belongs(tmp_path):
    numbers = [2.0, 4.0, 8.0, 16.0]
    status = product(
        tmp_path,
        {f"jw_{n:g}": aligned(offset=[6 * n, 8 * n], error=n) for n in numbers},
        numbers,
        [n / 100 for n in numbers],
    )
    for plot, spacing in ((plot_alignment, np.log), (plot_sky, float), (plot_outliers, float)):
        plot(status, tmp_path / "plot.png")
        marks = colored(tmp_path / "plot.png", BLUE)
        marks = marks[marks[:, 1] > 102]
        rows = np.array_split(np.unique(marks[:, 1]), 4)
        x = [marks[np.isin(marks[:, 1], row), 0].mean() for row in rows]
        expected = np.array([spacing(n) for n in numbers])
        line = np.polynomial.Polynomial.fit(expected, x, 1)
        np.testing.assert_allclose(line(expected), x, atol=1.5)
        assert line.convert().coef[1] > 0
        before = colored(tmp_path / "plot.png", ORANGE)
        assert (len(before) > 0) == (plot is plot_alignment)
        assert (before[before[:, 1] > 102, 0] > marks[:, 0].min() + 100).all()
        assert not len(colored(tmp_path / "plot.png", RED))


def test_failures_are_marked(tmp_path):
    status = product(tmp_path, {"jw_a": aligned(), "jw_b": FAILED, "jw_c": aligned()})
    plot_alignment(status, tmp_path / "plot.png")
    x, y = colored(tmp_path / "plot.png", RED).T
    assert (y > 102).any()
    assert x[y > 102].max() < 300


ODD_ENDS = {
    "infinite": ({"a": aligned(rms_before=np.inf, offset=[np.nan, np.inf])}, [np.inf], [0.0]),
    "unknown": ({"a": aligned(rms_before=None, rms_after=np.nan)}, [np.nan], [None]),
    "failed": ({"a": FAILED, "b": FAILED}, [None, None], [None, None]),
    "a long name": ({"x" * 200: aligned(), "b": aligned()}, [1.0, 1e30], [1.0, 0.0]),
    "signs": ({"a$_{": FAILED | {"reason": "$x^{"}, "b": aligned()}, [1.0, -1e30], [1.0, 0.0]),
    "skipped": ({"a": {"status": "SKIPPED", "reason": "skip is set"}}, None, None),
}


@pytest.mark.parametrize("kind", ODD_ENDS)
def test_odd_ends_are_plotted(tmp_path, kind):
    status = product(tmp_path, *ODD_ENDS[kind])
    for plot in (plot_alignment, plot_sky, plot_outliers):
        plot(status, tmp_path / "plot.png")
        assert imread(tmp_path / "plot.png").shape[1] == 1320
    write_table(status, tmp_path / "status.html")
    rows = Cells((tmp_path / "status.html").read_text()).rows[2:]
    assert [row[0] for row in rows] == list(status.exposures)
    assert "nan" not in "".join("".join(row[1:-1]) for row in rows)


def test_moving_targets_that_could_not_be_shifted_are_plotted(tmp_path):
    status = product(
        tmp_path, {"a": {"status": "FAILED", "reason": "no MT_RA"}}, step="assign_mtwcs"
    )
    plot_alignment(status, tmp_path / "plot.png")
    write_table(status, tmp_path / "status.html")


def test_identical_exposures_are_plotted(tmp_path):
    same = aligned(offset=[0.0, 0.0], error=0.0)
    plot_alignment(product(tmp_path, {"jw_a": same, "jw_b": same}), tmp_path / "plot.png")


def test_moving_targets_show_their_shifts(tmp_path):
    ends = {f"jw_{n}": {"status": "COMPLETE", "reason": "", "offset": [n, -n]} for n in range(1, 5)}
    status = product(tmp_path, ends, step="assign_mtwcs")
    plot_alignment(status, tmp_path / "plot.png")
    assert len(colored(tmp_path / "plot.png", BLUE)) > 100
    write_table(status, tmp_path / "status.html")
    assert Cells((tmp_path / "status.html").read_text()).rows[2][1:5] == [
        "COMPLETE",
        "",
        "+1.0",
        "-1.0",
    ]


@pytest.mark.parametrize("number", [1, 60, 500])
def test_plots_of_any_number_of_exposures_fit_the_report(tmp_path, number):
    ends = {f"jw01345003001_02201_{n:05d}_nrcalong": aligned() for n in range(number)}
    status = product(tmp_path, ends, [0.1] * number, [0.01] * number)
    for plot in (plot_alignment, plot_sky, plot_outliers):
        plot(status, tmp_path / "plot.png")
        height, width = imread(tmp_path / "plot.png").shape[:2]
        assert width == 1320
        assert 1.3 * height < width


def network_notes(**changes):
    """What a joint adjustment of two detectors notes."""
    placement = {"v2": 1.5, "v3": -0.5, "error": 0.3, "prior": 2.0, "roll": 1.0, "n_matches": 9}
    cells = {
        "NRCA1 F200W CLEAR": [[100.0, -500.0, 0.1, 0.2, 30.0], [90.0, -480.0, -0.1, 0.0, 20.0]],
        "NRCALONG F356W CLEAR": [[95.0, -490.0, 0.05, 0.02, 25.0]],
    }
    return {
        "placements": [placement | {"name": name} for name in cells],
        "noise": {"F200W CLEAR": 0.3, "F356W CLEAR": 0.4},
        "chi_square": 110.0,
        "freedom": 100.0,
        "reference_pull": 1.1,
        "residuals": {
            "cells": cells,
            "brightness": [[20.0, 0.3, 0.31, 40], [22.0, 0.6, 0.5, 35]],
            "epochs": [[2022.6, 0.4, 0.41, 30], [2023.1, 0.45, 0.41, 45]],
        },
        **changes,
    }


def placements_drawn(tmp_path, *network):
    status = SimpleNamespace(alignment=SimpleNamespace(network=network))
    plot_placements(status, tmp_path / "placements.png")
    return colored(tmp_path / "placements.png", BLUE), imread(tmp_path / "placements.png").shape


def test_placements_and_residuals_are_drawn(tmp_path):
    full, shape = placements_drawn(tmp_path, network_notes())
    assert shape[1] / shape[0] > 1.3
    assert len(full) > 300
    right = full[full[:, 0] > 0.65 * shape[1]]
    assert len(right) > 50
    left = {"cells": {}, "brightness": [], "epochs": []}
    empty, _ = placements_drawn(tmp_path, network_notes(placements=[], residuals=left))
    assert len(empty) < 20
    small = network_notes(freedom=3.0, placements=[], residuals=left)
    both, _ = placements_drawn(tmp_path, small, network_notes())
    assert len(both) == len(full), "the island with the most stars"
    lost = network_notes(reference_pull=None)
    lost["residuals"]["cells"] = {name: [] for name in lost["residuals"]["cells"]}
    placements_drawn(tmp_path, lost)


def test_no_placements_are_said_to_be_none(tmp_path):
    nothing, shape = placements_drawn(tmp_path)
    assert len(nothing) == 0
    assert shape[0] < 200
