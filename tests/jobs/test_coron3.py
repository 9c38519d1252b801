"""The jobs of coronagraphy, from files to files, as a notebook calls them."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from scripts import options
from sealed import check_sealed
from snakewebb.coronagraphy.star_position import read_stars
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, OUTLIER
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import read_planes
from snakewebb.io.provenance import read_notes
from snakewebb.jobs.contrast import ContrastFiles, ContrastOptions, ProductFiles, measure_product
from snakewebb.jobs.coron_i2d import combine_exposures
from snakewebb.jobs.crfints import flag_integrations
from snakewebb.jobs.find_stars import stars_of_product
from snakewebb.jobs.psfalign import align_references
from snakewebb.jobs.psfstack import stack_references
from snakewebb.jobs.psfsub import subtract_star
from snakewebb.simulate.coron_model import Companion
from snakewebb.simulate.coronagraphy import write
from snakewebb.simulate.presets import preset

SIZE = 64
COMPANION = Companion(1.2, 60.0, 1e-3)
RAY = 1, 12, 50
DRIZZLE = options("resample", "drizzle")


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """A product of two rolls, with a companion and a cosmic ray; its files by kind."""
    folder = tmp_path_factory.mktemp("product")
    small = preset("nircam-coron", npix=SIZE)
    small = replace(
        small,
        dithers=small.dithers[:3],
        integrations=3,
        reference_integrations=2,
        companions=(COMPANION,),
        cosmic_ray_rate=0.0,
    )
    members = json.loads(write(small, folder / "data").read_text())["products"][0]["members"]
    made = SimpleNamespace(science=[], psf=[], stack=folder / "p_psfstack.fits", folder=folder)
    for member in members:
        source = folder / "data" / member["expname"]
        if not made.science:
            with fits.open(source, mode="update") as hdus:
                hdus["SCI"].data[RAY] += 1e5
        target = folder / source.name.replace("_calints", "_c1001_crfints")
        flag_integrations(source, target)
        getattr(made, member["exptype"]).append(target)
    stack_references(made.psf, made.stack)
    made.stars, made.mosaic = folder / "p_stars.json", folder / "p_i2d.fits"
    stars_of_product(made.science, made.stars)
    made.aligned, made.subtracted = (
        [path.with_name(path.name.replace("crfints", kind)) for path in made.science]
        for kind in ("psfalign", "psfsub")
    )
    for path, target in zip(made.science, made.aligned, strict=True):
        align_references(path, target, stack=made.stack, stars=made.stars)
    for path, references, target in zip(made.science, made.aligned, made.subtracted, strict=True):
        step = {"truncate": 3}
        subtract_star(path, target, references=[references], stars=made.stars, step=step)
    combine_exposures(made.subtracted, made.mosaic, drizzle=DRIZZLE)
    return made


def pixels(path):
    return read_planes(path, ("SCI",))["SCI"]


def test_crfints_flags_what_one_integration_sees(product, tmp_path):
    dq = read_planes(product.science[0], ("DQ",))["DQ"]
    assert dq[RAY] & OUTLIER
    assert not (dq[[0, 2], RAY[1], RAY[2]] & OUTLIER).any()
    source = product.folder / "data" / f"{product_exposure(product.science[0])}_calints.fits"
    flag_integrations(source, tmp_path / "a_o1_crfints.fits", step={"skip": True})
    assert not read_planes(tmp_path / "a_o1_crfints.fits", ("DQ",))["DQ"][RAY] & OUTLIER
    notes = read_notes(tmp_path / "a_o1_crfints.fits")["outlier_detection"]
    assert notes["reason"] == "skip is set"


def test_crfints_needs_exposures_of_one_size(product, tmp_path):
    # Of one integration each, so the other is asked; at the same roll, of the same star.
    paths = [tmp_path / name for name in ("a_calints.fits", "b_calints.fits")]
    with fits.open(next(product.folder.glob("data/*_calints.fits"))) as hdus:
        for path, cut in zip(paths, (np.s_[:1], np.s_[:1, :-4]), strict=True):
            copy = fits.HDUList([hdu.copy() for hdu in hdus])
            for name in ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"):
                copy[name].data = copy[name].data[cut]
            copy.writeto(path)
    with pytest.raises(InputError, match=r"b_calints\.fits: has 64 × 60 pixels, .*a_calints"):
        flag_integrations(paths[0], tmp_path / "a_o1_crfints.fits", others=paths[1:])
    assert not (tmp_path / "a_o1_crfints.fits").exists()


def test_products_are_whole_and_say_who_made_them(product):
    made = sorted(product.folder.glob("*_*.fits"))
    assert {"p_psfstack.fits"} < {path.name for path in made}
    for path in made:
        if not path.stem.endswith("calints"):
            check_sealed(path)


def test_psfstack_holds_all_integrations(product):
    assert pixels(product.stack).shape == (2 * len(product.psf), SIZE, SIZE)
    names = read_notes(product.stack)["stack_psfs"]["exposures"]
    assert names == [path.name for path in product.psf for _ in range(2)]


def test_psfalign_shifts_references_onto_the_star(product, tmp_path):
    notes = read_notes(product.aligned[0])["align_refs"]
    assert notes["mask"] == "derived"
    assert 0.001 < np.abs(notes["shifts"]).max() < 1
    assert fits.getval(product.aligned[0], "S_PSFALI") == "COMPLETE"
    target, weights = tmp_path / "a_o1_psfalign.fits", np.zeros((SIZE, SIZE))
    weights[20:44, 20:44] = 1
    mask = fits.ImageHDU(weights, name="SCI")
    fits.HDUList([fits.PrimaryHDU(), mask]).writeto(tmp_path / "mask.fits")
    files = {"stack": product.stack, "stars": product.stars}
    align_references(product.science[0], target, psfmask=tmp_path / "mask.fits", **files)
    other = read_notes(target)["align_refs"]
    assert other["mask"] == "mask.fits"
    assert other["shifts"] != notes["shifts"]


def test_psfalign_without_its_step_needs_no_star(product, tmp_path):
    target = tmp_path / "a_o1_psfalign.fits"
    align_references(product.science[0], target, stack=product.stack, step={"skip": True})
    good = read_planes(product.stack, ("DQ",))["DQ"] & DO_NOT_USE == 0
    np.testing.assert_array_equal(pixels(target)[good], pixels(product.stack)[good])
    assert read_notes(target)["align_refs"]["reason"] == "skip is set"
    assert fits.getval(target, "S_PSFALI") == "SKIPPED"


def test_psfsub_takes_the_star_away(product, tmp_path):
    before, after = pixels(product.science[0]), pixels(product.subtracted[0])
    x, y = read_stars(product.stars)[product_exposure(product.science[0])].center
    v, u = np.indices(before.shape[1:])
    near = np.hypot(u - x, v - y) < 10
    assert np.nanstd(after[:, near]) < 0.3 * np.nanstd(before[:, near])
    notes = read_notes(product.subtracted[0])["klip"]
    assert notes["modes"] == [3]
    assert notes["parameters"]["truncate"] == 3
    target = tmp_path / product.subtracted[0].name
    files = {"references": [product.aligned[0]], "stars": product.stars}
    subtract_star(product.science[0], target, **files, step={"truncate": 3, "skip": True})
    bare = pixels(target)
    good = np.isfinite(bare)
    np.testing.assert_array_equal(bare[good], before[good])
    assert read_notes(target)["klip"]["reason"] == "skip is set"


def test_psfsub_uses_other_rolls(product, tmp_path):
    target = tmp_path / product.subtracted[0].name
    step = {"strategy": "ADI", "truncate": 2}
    files = {"others": product.science[1:], "references": [], "stars": product.stars}
    subtract_star(product.science[0], target, **files, step=step)
    assert read_notes(target)["klip"]["references"] == [3]


def test_coron_i2d_is_the_mean_of_the_rolls(product, tmp_path):
    with fits.open(product.mosaic) as hdus:
        assert np.isfinite(hdus["SCI"].data).mean() > 0.5
        assert hdus["CON"].data.max() == 0b111111
    target = tmp_path / "p_i2d.fits"
    others = {"grid": {"pixel_scale_ratio": 2.0}, "step": {"report_var": False}}
    combine_exposures(product.subtracted, target, drizzle=DRIZZLE, **others)
    with fits.open(target) as hdus, fits.open(product.mosaic) as whole:
        assert "VAR_POISSON" not in hdus
        assert hdus["SCI"].shape[0] < 0.6 * whole["SCI"].shape[0]
    with pytest.raises(InputError, match="megapixels"):
        combine_exposures(product.subtracted, target, max_megapixels=1e-3)


def test_contrast_finds_the_companion(product, tmp_path):
    made = product
    files = ProductFiles(made.science, made.aligned, made.subtracted, made.mosaic, made.stars)
    out = ContrastFiles(*(tmp_path / name for name in ("c.ecsv", "d.ecsv", "snr.fits")))
    klip = {"strategy": "RDI", "truncate": [3]}
    measure_product(files, out, ContrastOptions(klip, star={"star_flux": 0.7}))
    curve, found = (Table.read(path, format="ascii.ecsv") for path in (out.curve, out.detections))
    assert curve.meta["contrast"] == {"status": "COMPLETE", "reason": ""}
    assert curve.meta["star_flux_Jy"] == 0.7
    assert found["separation"][0] == pytest.approx(COMPANION.separation, abs=0.03)
    assert found["pa"][0] == pytest.approx(COMPANION.position_angle, abs=2)
    snr = fits.getdata(out.snr, "SNR")
    assert snr.shape == fits.getdata(made.mosaic, "SCI").shape
    assert np.nanmax(snr) == pytest.approx(found["snr"][0], rel=0.3)
    assert not list(Path(tmp_path).glob(".*partial"))
