"""Plots of a coronagraphic product."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from matplotlib.image import imread

from browser import CHROMIUM, look
from snakewebb.coronagraphy.contrast import Contrast
from snakewebb.coronagraphy.contrast_tables import DESCRIPTIONS, SOURCE_COLUMNS
from snakewebb.coronagraphy.star_position import StarPosition, write_stars
from snakewebb.report import coron_figures, roll_figures
from snakewebb.report.alignment_figures import plot_eigenvalues, plot_shifts
from snakewebb.report.contrast_figures import plot_contrast
from snakewebb.report.coron_figures import plot_product
from snakewebb.report.coron_page import plot_coron_page
from snakewebb.report.coron_status import write_status
from snakewebb.report.subtraction_figures import (
    north_up,
    plot_companions,
    plot_subtraction,
    show,
)
from snakewebb.wcs.geometry import Correction

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
STAR = (30.4, 24.8)
PLACE = (150.0002, -29.9999)


def wcs(angle):
    """Return the WCS of a mosaic whose y axis has a position angle in degrees."""
    result = WCS(naxis=2)
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    result.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    result.wcs.crval, result.wcs.crpix = [150.0, -30.0], [20.0, 30.0]
    result.wcs.cdelt, result.wcs.pc = [0.05 / 3600] * 2, [[-c, s], [s, c]]
    return result


def write_image(path, image, name, angle=30.0):
    header = wcs(angle).to_header()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, header, name=name)]).writeto(path)
    return path


def star(center=STAR, error=(0.01, 0.01), pixel_scale=0.063):
    correction = Correction(*PLACE, ((1.0, 0.0), (0.0, 1.0)), (0.1, 0.2))
    return StarPosition(center, error, correction, 110.0, pixel_scale)


def write_sources(path, number, relative=True):
    rng = np.random.default_rng(1)
    table = Table({name: rng.uniform(0.3, 1, number) for name in SOURCE_COLUMNS})
    table["contrast"].unit = None if relative else "MJy/sr"
    table.meta = {"star_xy": list(STAR)}
    table.write(path, format="ascii.ecsv")
    return path


def write_curve(path, relative=True):
    separation = np.tile(np.linspace(0.1, 10, 60), 2)
    table = Table({name: 1e-3 / separation for name in DESCRIPTIONS if name not in SOURCE_COLUMNS})
    table["truncate"] = np.repeat([50, 10], 60)
    table["separation"], table["separation_ld"] = separation, separation / 0.107
    table["contrast"], table["throughput"] = 1e-4 / separation**2, 0.9
    table["contrast"].unit = None if relative else "MJy/sr"
    table.meta = {"headline_truncate": 50, "sigma": 5.0}
    table.write(path, format="ascii.ecsv")
    return path


def fits_the_report(path):
    height, width = imread(path).shape[:2]
    return 1.29 * height < width <= 1320


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("number", [0, 6])
def test_contrast(tmp_path, relative, number):
    curve = write_curve(tmp_path / "c.ecsv", relative)
    sources = write_sources(tmp_path / "s.ecsv", number, relative)
    plot_contrast(tmp_path / "a.png", curve=curve, detections=sources)
    plot_contrast(tmp_path / "b.png", curve=curve, detections=sources)
    assert fits_the_report(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("angle", [0.0, 63.0, 200.0])
def test_north_is_up_and_east_to_the_left(angle):
    image = np.zeros((80, 90))
    image[0] = np.nan
    world = wcs(angle)
    ra, dec = star = world.wcs_pix2world([STAR], 0)[0]
    source = [(ra + 0.5 / 3600 / np.cos(np.radians(dec)), dec + 0.75 / 3600)]
    x, y = world.wcs_world2pix(source, 0)[0]
    image[round(y), round(x)] = 1.0
    turned, half = north_up(image, world.to_header(), star)
    side = len(turned)
    row, column = np.argwhere(turned == 1).mean(axis=0)
    assert (column - side // 2) * 0.05 == pytest.approx(-0.5, abs=0.05)
    assert (row - side // 2) * 0.05 == pytest.approx(0.75, abs=0.05)
    assert half == pytest.approx(side * 0.025)
    assert np.isnan(turned).any()


def write_rolls(folder, angles):
    """Write subtracted exposures of a companion to the North, at some rolls."""
    paths, stars = [], {}
    for k, angle in enumerate(angles):
        image = np.random.default_rng(k).normal(size=(2, 60, 70))
        world = wcs(angle)
        ra, dec = place = world.wcs_pix2world([STAR], 0)[0]
        x, y = world.wcs_world2pix([(ra, dec + 0.75 / 3600)], 0)[0]
        image[:, round(y), round(x)] = 1e4
        header = fits.Header()
        matrix = 0.05 / 3600 * world.wcs.pc
        header.update({f"CD{i + 1}_{j + 1}": matrix[i, j] for i in (0, 1) for j in (0, 1)})
        path = folder / f"jw01_{k}_1_c1_psfsub.fits"
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, header, name="SCI")]).writeto(path)
        paths.append(path)
        correction = Correction(*place, ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
        stars[f"jw01_{k}_1"] = StarPosition(STAR, (0.01, 0.01), correction, angle, 0.05)
    return paths, stars


@pytest.mark.parametrize("number", [1, 2, 12])
def test_all_rolls_are_north_up(tmp_path, number, monkeypatch):
    paths, stars = write_rolls(tmp_path, 30.0 * np.arange(number))
    drawn = []
    monkeypatch.setattr(
        roll_figures,
        "show",
        lambda axes, image, *rest: drawn.append(image) or show(axes, image, *rest),
    )
    roll_figures.plot_rolls(paths, stars, tmp_path / "a.png")
    assert fits_the_report(tmp_path / "a.png")
    assert len(drawn) == min(number, 6)
    for image in drawn:
        row, column = np.argwhere(image > 5e3).mean(axis=0) - len(image) // 2
        assert (row, column) == pytest.approx((15, 0), abs=1.1)


@needs_browser
def test_the_page_has_the_image_its_sources_and_each_roll(tmp_path):
    paths, stars = write_rolls(tmp_path, [10.0, 20.0])
    rng = np.random.default_rng(2)
    i2d = write_image(tmp_path / "i2d.fits", rng.normal(size=(60, 70)), "SCI")
    snr = write_image(tmp_path / "snr.fits", rng.normal(size=(60, 70)), "SNR")
    write_stars(tmp_path / "stars.json", stars)
    plot_eigenvalues({"a": [np.ones(3)]}, [2], tmp_path / "y_eigenvalues.png")
    pages = SimpleNamespace(page=tmp_path / "y_page.html", picture=tmp_path / "y_picture.html")
    plot_coron_page(
        pages, stars=tmp_path / "stars.json", exposures=paths, mosaic=i2d, snr=snr,
        detections=write_sources(tmp_path / "s.ecsv", 3), figures=[tmp_path / "y_eigenvalues.png"],
    )  # fmt: skip
    assert pages.picture.stat().st_size < 5e5
    seen = look(
        pages.page,
        """
        while (document.body.dataset.tiles !== "loaded") await wait(20);
        const layers = Object.values(map._layers);
        return {
          circles: layers.filter((layer) => layer instanceof L.CircleMarker).length,
          names: [...document.querySelectorAll(".leaflet-control-layers-overlays label")]
            .map((label) => label.textContent.trim()),
          figures: [...document.querySelectorAll("img.figure")].map((i) => i.alt),
          text: document.body.innerText,
        };
        """,
        tmp_path,
    )
    assert seen["problems"] == []
    assert seen["circles"] == 4
    assert seen["names"] == ["the star", "3 point sources", "signal to noise: -5 … 15"]
    assert seen["figures"] == ["rolls", "y_eigenvalues"]
    assert "FAILED" not in seen["text"]


@pytest.mark.parametrize("number", [0, 6])
def test_companions(tmp_path, number):
    rng = np.random.default_rng(2)
    i2d = write_image(tmp_path / "i2d.fits", rng.normal(size=(60, 70)), "SCI")
    snr = write_image(tmp_path / "snr.fits", np.full((60, 70), np.nan), "SNR")
    sources = write_sources(tmp_path / "s.ecsv", number)
    stars = tmp_path / "stars.json"
    write_stars(stars, {"a": star()})
    plot_companions(tmp_path / "a.png", mosaic=i2d, stars=stars, detections=sources, snr=snr)
    assert fits_the_report(tmp_path / "a.png")
    plot_companions(tmp_path / "b.png", mosaic=i2d, stars=stars)
    assert fits_the_report(tmp_path / "b.png")


def test_subtraction_is_on_one_scale(tmp_path):
    rng = np.random.default_rng(3)
    after = rng.normal(size=(3, 60, 70))
    after[:, :9] = np.nan
    plot_subtraction({"an_exposure_1": (after, after, STAR)}, 0.063, tmp_path / "a.png")
    picture = imread(tmp_path / "a.png")[120:600]
    left, right = picture[:, 95:600], picture[:, 95 + 552 + 42 - 42 :][:, :505]
    assert np.abs(left - right).mean() < 0.02
    plot_subtraction({"an_exposure_1": (1e3 + after, after, STAR)}, 0.063, tmp_path / "b.png")
    assert np.abs(imread(tmp_path / "b.png")[120:600, 95:600] - left).mean() > 0.2


@pytest.mark.parametrize("number", [1, 2, 3, 9])
def test_subtraction_of_several_exposures(tmp_path, number):
    image = np.random.default_rng(3).normal(size=(60, 70))
    exposures = {f"jw01_{k}_1": (image, image, STAR) for k in range(number)}
    plot_subtraction(exposures, 0.063, tmp_path / "a.png")
    assert fits_the_report(tmp_path / "a.png")


@pytest.mark.parametrize("number", [1, 30])
def test_shifts(tmp_path, number):
    rng = np.random.default_rng(4)
    notes = {
        "exposures": [
            f"jw{k // 3:05d}001001_02101_00001_nrcalong_crfints.fits" for k in range(number)
        ],
        "shifts": rng.normal(size=(number, 2)).tolist(),
        "shift_errors": rng.uniform(0.01, 0.1, (number, 2)).tolist(),
    }
    plot_shifts({"a_crfints.fits": notes, "b_crfints.fits": notes}, tmp_path / "a.png")
    assert fits_the_report(tmp_path / "a.png")


def test_what_there_is_not(tmp_path):
    plot_shifts({}, tmp_path / "shifts.png")
    unknown = {"exposures": ["a"], "shifts": [[0.0, 0.0]], "shift_errors": [[np.nan, np.nan]]}
    plot_shifts({"b": unknown}, tmp_path / "unaligned.png")
    plot_eigenvalues({"a": []}, [50], tmp_path / "eigenvalues.png")
    assert all(fits_the_report(path) for path in tmp_path.iterdir())


def notes(**changes):
    """What is noted of an exposure's references and of its star."""
    align = {
        "exposures": ["jw01_1_1.fits"] * 3,
        "shifts": [[0.1, 0.2]] * 3,
        "shift_errors": [[0.01, 0.02]] * 3,
        "residual": [0.1] * 3,
    }
    klip = {
        "star": star().to_dict(),
        "modes": [3],
        "references": [3],
        "eigenvalues": [[3.0, 2.0, 1.0]],
    }
    return tuple(
        {**known, **{k: v for k, v in changes.items() if k in known}} for known in (align, klip)
    )


ODD = {
    "as it should be": {},
    "shifts unknown": {"shifts": [[np.nan] * 2] * 3, "shift_errors": [[np.nan] * 2] * 3},
    "one shift unknown": {"shifts": [[0.1, 0.2], [np.nan, np.nan], [0.0, 0.0]]},
    "no references": {"exposures": [], "shifts": [], "shift_errors": [], "residual": []},
    "errors NaN": {"star": star(error=(np.nan, np.nan)).to_dict()},
    "a star off the image": {"star": star((-300.0, 9.0), (1.0, 1.0), 0.1).to_dict()},
    "no modes": {"modes": [], "references": [], "eigenvalues": [[]]},
    "modes of nothing": {"modes": [0], "references": [0], "eigenvalues": [[0.0, 0.0], [np.nan]]},
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_notes_are_drawn(tmp_path, kind):
    align, klip = notes(**ODD[kind])
    flagged = {"a": write_image(tmp_path / "a.fits", np.zeros((5, 5)), "SCI")}
    write_status(flagged, {"a": align}, {"a": klip}, tmp_path / "status.html")
    page = (tmp_path / "status.html").read_text()
    assert "COMPLETE" in page
    assert ">nan<" not in page
    if kind.startswith(("one shift", "shifts", "no references")):
        plot_shifts({"a": align}, tmp_path / "a.png")
    elif "modes" in kind:
        plot_eigenvalues({"a": klip["eigenvalues"]}, [50, 2], tmp_path / "a.png")
    else:
        pairs = {"a": (*2 * [np.zeros((60, 70))], klip["star"]["center"])}
        plot_subtraction(pairs, klip["star"]["pixel_scale"], tmp_path / "a.png")
    assert fits_the_report(tmp_path / "a.png")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38, 7.0])
def test_odd_images_are_drawn(tmp_path, value):
    image = np.full((2, 60, 70), value, np.float32)
    plot_subtraction({"a": (image, image, STAR)}, 0.063, tmp_path / "a.png")
    assert fits_the_report(tmp_path / "a.png")


def made_of(tmp_path, monkeypatch, align, klip):
    """Draw a product with such notes; return where the pictures are."""
    known = {"klip": klip, "align_refs": align}
    monkeypatch.setattr(coron_figures, "read_notes", lambda path: known)
    image = np.random.default_rng(3).normal(size=(60, 70))
    made = [write_image(tmp_path / "a_o001_crfints.fits", image, "SCI")]
    names = ("subtraction.png", "shifts.png", "eigenvalues.png", "status.html")
    out = SimpleNamespace(**{name.partition(".")[0]: tmp_path / name for name in names})
    plot_product(out, exposures=made, references=made, subtracted=made, truncate=[50, 2])
    return out


def test_all_of_a_product_is_drawn(tmp_path, monkeypatch):
    out = made_of(tmp_path, monkeypatch, *notes())
    assert "COMPLETE" in out.status.read_text()
    assert all(imread(tmp_path / path).shape[0] > 500 for path in tmp_path.glob("*.png"))


def test_a_picture_that_fails_stops_no_other(tmp_path, monkeypatch):
    align, klip = notes()
    del klip["star"]
    out = made_of(tmp_path, monkeypatch, align, klip)
    assert "status could not be drawn" in out.status.read_text()
    heights = [imread(path).shape[0] for path in (out.subtraction, out.shifts, out.eigenvalues)]
    assert heights[0] < 200 < min(heights[1:])


def test_a_contrast_that_is_not_known_says_why(tmp_path):
    unknown = Contrast.unknown((5, 6), [50])
    for name, table in (("c.ecsv", unknown.curve), ("s.ecsv", unknown.sources)):
        table.meta["contrast"] = {"status": "FAILED", "reason": "no ring about the star has data"}
        table.write(tmp_path / name, format="ascii.ecsv")
    sources = tmp_path / "s.ecsv"
    plot_contrast(tmp_path / "a.png", curve=tmp_path / "c.ecsv", detections=sources)
    picture = imread(tmp_path / "a.png")
    assert (picture[..., :3] < 0.5).all(axis=-1).sum() > 500
    i2d = write_image(tmp_path / "i2d.fits", np.full((60, 70), np.nan), "SCI")
    snr = write_image(tmp_path / "snr.fits", np.full((60, 70), np.nan), "SNR")
    stars = tmp_path / "stars.json"
    write_stars(stars, {"a": star()})
    plot_companions(tmp_path / "b.png", mosaic=i2d, stars=stars, detections=sources, snr=snr)


def test_a_curve_of_nothing_but_nan_is_drawn(tmp_path):
    path = write_curve(tmp_path / "c.ecsv")
    table = Table.read(path, format="ascii.ecsv")
    for name in ("before", "raw", "contrast", "throughput"):
        table[name] = np.nan
    table.write(path, format="ascii.ecsv", overwrite=True)
    sources = write_sources(tmp_path / "s.ecsv", 0)
    plot_contrast(tmp_path / "a.png", curve=path, detections=sources)
    assert fits_the_report(tmp_path / "a.png")


def test_eigenvalues(tmp_path):
    zones = [np.geomspace(1, 1e-5, 9), np.geomspace(1, 1e-3, 7)]
    plot_eigenvalues(
        {"a_crfints.fits": zones, "b_crfints.fits": zones[:1]}, [50, 3], tmp_path / "a.png"
    )
    assert fits_the_report(tmp_path / "a.png")
