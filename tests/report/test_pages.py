"""Pages of products, looked at in a browser."""

import base64
import hashlib
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from matplotlib.colors import Normalize
from PIL import Image

from browser import CHROMIUM, look
from chain import image3
from snakewebb.io.names import exposure_name
from snakewebb.jobs.quality import measure_quality
from snakewebb.report import product_page
from snakewebb.report.catalog_rows import read_catalog
from snakewebb.report.exposure_figures import plot_exposures
from snakewebb.report.layers import brightest, coverage, depth_layer, residual_layer
from snakewebb.report.page import shown, write_page, zoomable
from snakewebb.report.product_page import plot_page
from snakewebb.report.quality_figures import plot_quality
from snakewebb.report.scaling import block_means
from snakewebb.report.tiles import SIDE, cut_tiles, reduction
from snakewebb.wcs.grid import Grid
from snakewebb.workflow import associations
from workflow import REPO

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
NAME = "x"
GRID = Grid((150.0, 2.0), (0.0, 0.0), 1e-5, ((-1.0, 0.0), (0.0, 1.0)), (1500, 2000))


# --- tiles ---------------------------------------------------------------------------------------


def picture(tiles, zoom):
    """Put the tiles of a zoom together, the first row lowest; 0 where there is none."""
    keys = [tuple(map(int, key.split("/"))) for key in tiles.images]
    own = [(x, y) for z, x, y in keys if z == zoom]
    nx, ny = max(x for x, _ in own) + 1, max(-y for _, y in own)
    whole = np.zeros((ny * SIDE, nx * SIDE), np.uint8)
    for x, y in own:
        data = base64.b64decode(tiles.images[f"{zoom}/{x}/{y}"])
        tile = np.array(Image.open(io.BytesIO(data)))[::-1]
        whole[(-1 - y) * SIDE : -y * SIDE, x * SIDE : (x + 1) * SIDE] = tile
    return whole


@pytest.mark.parametrize("shape", [(100, 40), (256, 256), (300, 700), (1025, 513)])
def test_tiles_are_the_image_at_all_scales(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = (100 + 50 * np.sin(x / 40) + 50 * np.cos(y / 60)).astype(np.float32)
    image[:10, :20] = np.nan
    tiles = cut_tiles(image, Normalize(0, 255))
    assert {int(key.split("/")[0]) for key in tiles.images} == set(range(tiles.zooms, 1))
    assert max(shape) <= SIDE * 2**-tiles.zooms
    for zoom in range(0, tiles.zooms - 1, -1):
        ny, nx = image.shape
        found = picture(tiles, zoom)[:ny, :nx]
        good = np.isfinite(image)
        assert np.abs(found[good] - image[good]).mean() < 3
        image = block_means(image, 2)


def test_tiles_without_data_are_left_out():
    image = np.full((600, 600), np.nan, np.float32)
    image[:100, :100] = 1.0
    tiles = cut_tiles(image, Normalize(0, 2))
    assert [key for key in tiles.images if key.startswith("0/")] == ["0/0/-1"]


def test_blocks_are_means_of_what_has_data():
    image = np.array([[1, 2, 3], [3, np.nan, 5], [np.nan, 7, np.nan]], np.float32)
    np.testing.assert_array_equal(block_means(image, 2), [[2, 4], [7, np.nan]])


def test_a_page_of_any_mosaic_is_small():
    assert reduction((2000, 2000)) == 1
    for shape in ((5000, 5000), (20_000, 30_000), (100, 10**7)):
        factor = reduction(shape)
        assert shape[0] * shape[1] / factor**2 <= 24e6 < shape[0] * shape[1] / (factor - 1) ** 2
    # Noise is what compresses worst.
    noise = np.random.default_rng(1).normal(0, 1, (1024, 1024)).astype(np.float32)
    size = sum(map(len, cut_tiles(noise, Normalize(-3, 20)).images.values()))
    assert 24e6 / 2**20 * size < 19e6


def pages_in(folder):
    return SimpleNamespace(**{kind: folder / f"{NAME}_{kind}.html" for kind in ("page", "picture")})


# --- the page of a product -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory, observations):
    """All files of a product, and its page."""
    folder = tmp_path_factory.mktemp("made")
    (product,) = associations.read(str(observations["field"]))
    originals = [member.path for member in product.of_type("science").values()]
    image3(folder, originals, catalog=True)
    crfs = [folder / f"{exposure_name(path)}_o001_crf.fits" for path in originals]
    quality = {key: folder / f"q_{key}" for key in ("metrics", "exposures", "depth", "repeats")}
    measure_quality(
        SimpleNamespace(**quality), crfs, folder / "facts.zip", folder / "alignment.json",
        folder / "x_i2d.fits",
    )  # fmt: skip
    out = {
        name: folder / f"{NAME}_{name}.png"
        for name in ("alignment", "placements", "sky", "outliers", "worst", "residuals", "depth")
    }
    out |= {"status": folder / f"{NAME}_status.html", "page": folder / f"{NAME}_quality.html"}
    plot_exposures(
        SimpleNamespace(**out), alignment=folder / "alignment.json", sky=folder / "sky.json",
        exposures=crfs, originals=originals,
    )  # fmt: skip
    plot_quality(SimpleNamespace(**out), **quality)
    given = {
        "exposures": crfs,
        "figures": list(out.values()),
        "mosaic": folder / "x_i2d.fits",
        "catalog": [folder / "x_cat.ecsv", folder / "x_cat.fits"],
        "quality": list(quality.values()),
    }
    pages = pages_in(folder)
    plot_page(pages, **given)
    return SimpleNamespace(folder=folder, given=given, **vars(pages))


SWITCHES = """
const boxes = [...document.querySelectorAll(".leaflet-control-layers-overlays input")];
const names = boxes.map((box) => box.parentNode.textContent.trim());
const layers = () => Object.keys(map._layers).length;
const counts = [];
for (const box of [...boxes, ...boxes]) box.click();  // the canvas stays
for (const box of boxes) {
  const before = layers();
  box.click();
  const on = layers();
  box.click();
  counts.push([before, on, layers()]);
}
"""


@needs_browser
def test_the_page_shows_all(made, tmp_path):
    seen = look(
        made.page,
        f"""
        while (document.body.dataset.tiles !== "loaded") await wait(20);
        {SWITCHES}
        const tiles = [...document.querySelectorAll("#map img.tile")];
        map.fire("mousemove", {{ latlng: L.latLng(100.5, 50.5) }});
        return {{
          names, counts,
          tiles: tiles.length,
          broken: tiles.filter((tile) => !tile.naturalWidth).length,
          titles: [...document.querySelectorAll("h2")].map((title) => title.textContent),
          figures: [...document.querySelectorAll("img.figure")].map((i) => [i.alt, i.naturalWidth]),
          frames: document.querySelectorAll("iframe").length,
          place: document.getElementById("place").textContent,
          text: document.body.innerText,
        }};
        """,
        tmp_path,
    )
    assert seen["problems"] == []
    assert seen["tiles"] >= 1
    assert seen["broken"] == 0
    assert [name.split()[-1] for name in seen["names"][:2]] == ["sources", "sources"]
    assert "coverage: 1 … 4 exposures" in seen["names"]
    assert any("5σ depth" in name for name in seen["names"])
    assert "residuals of the alignment" in seen["names"]
    for before, on, after in seen["counts"]:
        assert on > before == after
    assert seen["titles"] == [
        *("Catalogue", "Alignment", "Depth", "Sky", "Outliers", "Quality", "Steps")
    ]
    drawn = dict(seen["figures"])
    assert {"counts", "cutouts", "x_worst", "x_alignment", "x_residuals", "x_depth"} <= set(drawn)
    assert min(drawn.values()) > 1000
    assert seen["frames"] == 2
    grid = product_page._Mosaic(made.given["mosaic"]).grid
    ra, dec = grid.pixel_to_sky(50.0, 100.0)
    assert seen["place"] == f"RA {ra:.6f}°  Dec {dec:.6f}°  x 50.0  y 100.0"
    assert "NIRCAM CLEAR F356W" in seen["text"]
    assert "FAILED" not in seen["text"]
    # No reference files are given.
    assert "REFERENCE source_catalog: model of the PSF" in seen["text"]


@needs_browser
def test_where_there_is_no_tile_nothing_is_drawn(tmp_path):
    """As in the gap between MIRI's imager and its coronagraphs."""
    image = np.random.default_rng(2).normal(0, 1, (3 * SIDE, 3 * SIDE)).astype(np.float32)
    image[: 2 * SIDE, :SIDE] = np.nan
    picture = zoomable(cut_tiles(image, Normalize(-3, 20)), GRID, [])
    page = {"title": "x", "facts": {}, "ends": [], "sections": []}
    write_page(tmp_path / "x_page.html", picture=picture, **page)
    seen = look(
        tmp_path / "x_page.html",
        """
        map.setView([SIDE, SIDE], 0, { animate: false });
        while (document.querySelectorAll("#map img.tile").length < 7) await wait(20);
        await wait(300);
        const tiles = [...document.querySelectorAll("#map .leaflet-tile")];
        const images = tiles.filter((tile) => tile.tagName === "IMG");
        const arms = [...document.querySelectorAll("#compass line")];
        return {
          images: images.length, empty: images.filter((tile) => !tile.src).length,
          arms: arms.map((arm) => [arm.x2.baseVal.value, arm.y2.baseVal.value]),
        };
        """.replace("SIDE", f"{1.5 * SIDE}"),
        tmp_path,
    )
    assert seen["problems"] == []
    assert seen["images"] == 7
    # North up, East to the left.
    assert seen["arms"] == [[0, -22], [-22, 0]]
    assert seen["empty"] == 0


@needs_browser
def test_a_source_says_what_it_is(made, tmp_path):
    sources = read_catalog(made.given["catalog"][1])
    seen = look(
        made.page,
        """
        document.querySelector(".leaflet-control-layers-overlays input").click();
        const layers = Object.values(map._layers);
        const circles = layers.filter((layer) => layer instanceof L.CircleMarker);
        circles[0].openPopup();
        await wait(400);
        const at = circles[0].getLatLng();
        return { n: circles.length, words: document.querySelector(".leaflet-popup").innerText, at };
        """,
        tmp_path,
    )
    assert seen["problems"] == []
    assert seen["n"] == (~sources["is_extended"]).sum()
    label = int(seen["words"].split()[0])
    (source,) = sources[sources["label"] == label]
    assert seen["at"]["lng"] == pytest.approx(source["xcentroid"] + 0.5, abs=0.01)
    assert seen["at"]["lat"] == pytest.approx(source["ycentroid"] + 0.5, abs=0.01)
    assert f"{source['aper_total_abmag']:.3f}" in seen["words"]
    assert f"{source['n_exposures']} exposures" in seen["words"]


def test_nothing_is_fetched(made):
    text = made.page.read_text()
    bare = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(src|href)="(?!data:|#)', bare)
    assert "url(http" not in bare
    assert len(text) < 20e6


def test_layers_lie_on_the_mosaic(made):
    grid = product_page._Mosaic(made.given["mosaic"]).grid
    ny, nx = grid.shape
    with fits.open(made.given["mosaic"]) as hdus:
        con = hdus["CON"].data.astype(np.int64) & 0xFFFFFFFF
    number, side = coverage(made.given["mosaic"])
    bits = np.bitwise_count(con).sum(axis=0)
    np.testing.assert_array_equal(number, bits[side // 2 :: side, side // 2 :: side])
    box = depth_layer(made.given["quality"][2], grid)["box"]
    with fits.open(made.given["quality"][2]) as hdus:
        rows, columns = hdus["SCI"].shape
    np.testing.assert_allclose(box[:2], -0.5, atol=1e-3)
    assert nx - 0.5 <= box[2] < nx - 0.5 + nx / (columns - 1)
    assert ny - 0.5 <= box[3] < ny - 0.5 + ny / (rows - 1)


def test_arrows_point_as_residuals_do_on_the_sky(tmp_path, made):
    grid = product_page._Mosaic(made.given["mosaic"]).grid
    ra, dec = grid.pixel_to_sky(np.array([100.0, 200.0]), np.array([100.0, 150.0]))
    offset = np.array([[3.0, 0.0], [0.0, 3.0]], np.float32)
    np.savez(
        tmp_path / "r.npz", ra=ra, dec=dec, star=np.arange(2), exposure=np.zeros(2, int),
        offset=offset, snr=np.full(2, 50.0),
    )  # fmt: skip
    rows = [{"exposure": "jw1_1_nrcalong"}]
    layer = residual_layer(tmp_path / "r.npz", rows, grid)
    for (x, y, u, v, _), (east, north) in zip(layer["rows"], offset, strict=True):
        ra0, dec0 = grid.pixel_to_sky(x, y)
        ra1, dec1 = grid.pixel_to_sky(u, v)
        moved = np.array([(ra1 - ra0) * np.cos(np.radians(dec0)), dec1 - dec0])
        np.testing.assert_allclose(moved / np.hypot(*moved), (east / 3, north / 3), atol=0.02)


@needs_browser
def test_a_report_shows_the_picture(made, tmp_path):
    """Snakemake's report has it in a frame, of an address that holds all of it."""
    text = made.picture.read_text()
    assert len(text) < 1.5e6
    told = 'document.body.dataset.tiles = "loaded";'
    assert text.count(told) == 1
    framed = text.replace(told, told + ' parent.postMessage("loaded", "*");')
    address = "data:text/html;base64," + base64.b64encode(framed.encode()).decode()
    report = tmp_path / "report.html"
    report.write_text(
        """<html><head></head><body><script>
        const loaded = new Promise((done) => addEventListener("message", (e) => done(e.data)));
        </script>"""
        f'<iframe width="1000" height="700" src="{address}"></iframe></body></html>'
    )
    seen = look(report, "return { tiles: await loaded };", tmp_path)
    assert seen["tiles"] == "loaded"


def test_a_picture_for_a_report_is_small():
    rows = [[1.0, 2.0, f"{k}"] for k in range(5000)]
    layer = {"kind": "circles", "name": "5000 point-like sources", "rows": rows}
    few = brightest(layer)
    assert few["rows"] == rows[:1000]
    assert few["name"] == "the brightest 1000 of 5000 point-like sources"
    arrows = {"kind": "arrows", "rows": rows}
    assert brightest(arrows) is arrows
    mosaic = product_page._Mosaic.__new__(product_page._Mosaic)
    noise = np.random.default_rng(1).normal(0, 1, (1500, 2000)).astype(np.float32)
    mosaic.__dict__ |= {"image": (noise, 3), "grid": GRID}
    size = len(mosaic.picture([], product_page.SMALL))
    assert size < 0.8e6
    assert len(mosaic.picture([])) > 2 * size


@needs_browser
@pytest.mark.parametrize("step", ["nothing", "mosaic alone"])
def test_a_page_of_less(made, tmp_path, step):
    less = {key: made.given[key] for key in ("exposures",)}
    less |= {"figures": made.given["figures"][:1]}
    less |= {"mosaic": made.given["mosaic"]} if step == "mosaic alone" else {}
    plot_page(pages_in(tmp_path), **less)
    seen = look(
        tmp_path / "x_page.html",
        'return { map: Boolean(document.getElementById("map")), text: document.body.innerText };',
        tmp_path,
    )
    assert seen["problems"] == []
    assert seen["map"] == (step == "mosaic alone")
    assert "no warnings" in seen["text"]


def test_a_part_that_fails_stops_no_other(made, tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no <b>luck")

    for name in ("plot_cutouts", "plot_counts", "coverage"):
        monkeypatch.setattr(product_page, name, broken)
    plot_page(pages_in(tmp_path), **made.given)
    text = (tmp_path / "x_page.html").read_text()
    assert text.count("FAILED</span> cutouts: no &lt;b&gt;luck") == 1
    assert text.count("FAILED</span> counts: no &lt;b&gt;luck") == 1
    assert "residuals of the alignment" in text
    assert "coverage: " not in text


@needs_browser
def test_a_thousand_exposures_are_readable(tmp_path):
    rows = "".join(f"<tr><td>exposure {k}</td></tr>" for k in range(1000))
    (tmp_path / "x_status.html").write_text(f"<!DOCTYPE html><table>{rows}</table>")
    write_page(
        tmp_path / "x_page.html",
        title="a</script>b",
        facts={"exposures": "1000"},
        ends=[],
        picture="",
        sections=[("Steps", shown(tmp_path / "x_status.html"))],
    )
    seen = look(
        tmp_path / "x_page.html",
        """
        const frame = document.querySelector("iframe").contentDocument;
        return { rows: frame.querySelectorAll("tr").length, high: document.body.scrollHeight };
        """,
        tmp_path,
    )
    assert seen["rows"] == 1000
    assert seen["high"] < 1500
    assert seen["problems"] == []


def test_leaflet_is_the_one_of_the_lock():
    lock = json.loads((REPO / "envs" / "leaflet.json").read_text())
    folder = REPO / "lib" / "snakewebb" / "report"
    assert lock["license"] == "BSD-2-Clause"
    for name, digest in lock["files"].items():
        data = (folder / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        assert len(data) < 200_000
