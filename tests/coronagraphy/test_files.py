import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst.datamodels import CubeModel, ImageModel

from agreement import assert_same, is_consistent
from snakewebb import __version__
from snakewebb.coronagraphy.align_refs import Aligned, unaligned
from snakewebb.coronagraphy.combine import integrations
from snakewebb.coronagraphy.files import Residual, write_psfalign, write_psfstack, write_psfsub
from snakewebb.coronagraphy.stack_refs import stack
from snakewebb.coronagraphy.star import star_correction, star_position
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.hdus import SUMS
from snakewebb.io.planes import read_planes
from snakewebb.io.provenance import Provenance, cards, noted, read_notes
from snakewebb.io.schema import attributes
from snakewebb.mosaicking.resample import DrizzleOptions, drizzle_band
from snakewebb.products import exposure_file
from snakewebb.references.images import read_psfmask
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset
from snakewebb.wcs.change import Pointing
from snakewebb.wcs.exposure import read_geometry

NPIX = 32
SHAPE = (NPIX, NPIX)
ASN = {"pool_name": "a_pool.csv", "table_name": "an_asn.json"}


@pytest.fixture(scope="module")
def exposures(tmp_path_factory):
    """Two exposures of two integrations each, the second without variances."""
    folder = tmp_path_factory.mktemp("coron")
    cals = sorted(write(preset("nircam-f356w", npix=NPIX), folder).parent.glob("*_cal.fits"))[:2]
    paths = []
    for number, cal in enumerate(cals):
        with CubeModel() as cube, ImageModel(cal) as image:
            cube.update(image)
            names = ("data", "err") if number else ("data", "err", "var_rnoise", "var_poisson")
            for name in names:
                setattr(cube, name, np.stack([getattr(image, name)] * 2))
            cube.dq = np.stack([image.dq] * 2)
            cube.meta.wcs = image.meta.wcs
            paths.append(folder / cal.name.replace("_cal", "_o001_crfints"))
            cube.save(paths[-1])
    return paths


def test_psfstack(exposures, tmp_path):
    references, names, _ = stack(exposures)
    assert references.data.shape == (4, *SHAPE)
    assert names == [path.name for path in exposures for _ in range(2)]
    target = tmp_path / "p_psfstack.fits"
    write_psfstack(exposures[0], target, references, exposures=names, asn=ASN)
    with CubeModel(target) as model:
        assert model.meta.cal_step.stack_psfs == "COMPLETE"
        assert model.meta.asn.table_name == "an_asn.json"
        assert model.meta.snakewebb.stack_psfs.instance["exposures"] == names
        assert_array_equal(model.data, references.data)
        assert_array_equal(model.dq, references.dq)


def test_an_image_is_stacked_too(exposures, tmp_path):
    cal = exposures[0].with_name(exposures[0].name.replace("_o001_crfints", "_cal"))
    references, names, _ = stack([cal])
    write_psfstack(cal, tmp_path / "p_psfstack.fits", references, exposures=names)
    with CubeModel(tmp_path / "p_psfstack.fits") as model:
        assert model.meta.model_type == "CubeModel"
        assert_array_equal(model.data, references.data)


@pytest.mark.parametrize("edited", [False, True])
def test_a_stack_is_what_stdatamodels_would_write(exposures, tmp_path, edited):
    references, names, _ = stack(exposures)
    source, target, twin = (tmp_path / f"{name}_psfstack.fits" for name in ("s", "t", "u"))
    with CubeModel(exposures[0]) as model:
        mine = {"PRIMARY": "MYKEY", "SCI": "MYSCI"}
        model.meta.origin = "snakewebb"
        model.instance["extra_fits"] = {k: {"header": [[v, 3, "mine"]]} for k, v in mine.items()}
        model.add_history_entry("of the first exposure alone")
        model.meta.snakewebb = {"outlier_detection": {"fraction": 0.1}}
        model.save(source)
    if edited:
        fits.setval(source, "TARGPROP", value="MINE")
    write_psfstack(source, target, references, exposures=names, asn=ASN)
    with CubeModel() as model:
        with CubeModel(source) as first:
            model.update(first)
            known = first.to_flat_dict(include_arrays=False)
        model.data, model.err, model.dq = (references.data, references.err, references.dq)
        model.meta.cal_step.stack_psfs = "COMPLETE"
        model.meta.asn.pool_name, model.meta.asn.table_name = ASN.values()
        model.meta.snakewebb = noted({"stack_psfs": {"exposures": names}})
        model.instance["extra_fits"] = {"PRIMARY": {"header": cards({"version": __version__})}}
        model.save(twin)
    own = ("DATE", "FILENAME", *SUMS)
    free = ("asdf_library", "history", "_fits_hash", "meta.date", "meta.filename", "extra_fits")
    with CubeModel(target) as model, CubeModel(twin) as other:
        assert model.meta.target.proposer_name == ("MINE" if edited else "SIMULATED-FIELD")
        made, expected = (
            {key: value for key, value in each.to_flat_dict().items() if not key.startswith(free)}
            for each in (model, other)
        )
        assert "wcs" not in model.meta.instance
    for key, value in expected.items():
        assert_array_equal(made[key], value)
    keyworded = {attribute.name for attribute in attributes()}
    for key in made.keys() - expected.keys():
        assert key not in keyworded
        assert made[key] == known[key]
    with fits.open(target) as hdus, fits.open(twin) as others:
        assert [hdu.name for hdu in hdus] == [hdu.name for hdu in others]
        for hdu, other in zip(hdus[:-1], others[:-1], strict=True):
            made, expected = (
                {c[0]: c[1:] for c in each.header.cards if c[0] not in own} for each in (hdu, other)
            )
            assert made == expected
    assert is_consistent(target) is not edited


def test_stack_of_different_sizes_or_nothing(exposures, tmp_path):
    small = tmp_path / "small.fits"
    fits.HDUList(
        [fits.PrimaryHDU()]
        + [fits.ImageHDU(np.ones((2, 8, 8), "f4"), name=n) for n in ("SCI", "ERR")]
    ).writeto(small)
    with pytest.raises(InputError, match=r"small.fits: has 8 × 8"):
        stack([exposures[0], small])
    with pytest.raises(InputError, match="no references"):
        stack([])


def test_psfalign_keeps_flags_shifts_and_provenance(exposures, tmp_path):
    references, names, _ = stack(exposures)
    write_psfstack(exposures[0], tmp_path / "s.fits", references, exposures=names)
    dq = np.zeros((4, *SHAPE), np.uint32)
    dq[1, 3, 4] = DO_NOT_USE
    shifts = np.arange(8.0).reshape(4, 2)
    aligned = Aligned(
        np.ones((4, *SHAPE)), np.ones((4, *SHAPE)), dq, shifts, shifts, np.ones(4), np.ones(4)
    )
    target = tmp_path / "e_psfalign.fits"
    write_psfalign(tmp_path / "s.fits", target, aligned, mask="derived", exposures=names)
    with CubeModel(target) as model:
        assert model.meta.cal_step.align_psfs == "COMPLETE"
        assert model.meta.cal_step.stack_psfs == "COMPLETE"
        notes = model.meta.snakewebb.align_refs.instance
        assert notes["mask"] == "derived"
        assert_allclose(notes["shifts"], shifts)
        assert_array_equal(model.dq, dq)
    write_psfalign(
        tmp_path / "s.fits",
        tmp_path / "u.fits",
        unaligned(references.data, references.err, references.dq),
        mask="none",
        exposures=names,
        status="SKIPPED",
    )
    with CubeModel(tmp_path / "u.fits") as model:
        assert model.meta.cal_step.align_psfs == "SKIPPED"
        assert_array_equal(model.data, references.data)
    assert not np.any(read_notes(tmp_path / "u.fits")["align_refs"]["shifts"])


@pytest.mark.parametrize("number", [0, 1])
def test_psfsub(exposures, tmp_path, number):
    source, target = exposures[number], tmp_path / "e_psfsub.fits"
    before = read_planes(source)
    data = np.full((2, *SHAPE), 0.5)
    err = 2 + np.nan_to_num(before["ERR"])
    bad = np.zeros(data.shape, bool)
    bad[0, 3, 4] = True
    data[1, 5, 6] = np.nan
    geometry = read_geometry(source)
    ra, dec = star_position(geometry, (15.2, 16.7))
    place = ra + 1e-4, dec + 1e-4
    correction = star_correction(geometry, (15.2, 16.7), *place)
    write_psfsub(
        source,
        target,
        Residual(data, err, bad),
        pointing=Pointing(correction=correction),
        asn=ASN,
        provenance=Provenance({"klip": "COMPLETE"}, {"klip": {"truncate": 50, "modes": [12]}}),
    )
    planes = read_planes(target)
    for index in ((0, 3, 4), (1, 5, 6)):
        assert planes["DQ"][index] & DO_NOT_USE
        assert np.isnan([planes[name][index] for name in ("SCI", "ERR", "VAR_POISSON")]).all()
    good = np.isfinite(planes["SCI"])
    assert_array_equal(good, (planes["DQ"] & DO_NOT_USE) == 0)
    total = sum(
        planes[name]
        for name in ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
        if planes[name] is not None
    )
    assert_allclose(total[good], planes["ERR"][good] ** 2, rtol=1e-5)
    with CubeModel(target) as model:
        assert model.meta.cal_step.klip == "COMPLETE"
        assert model.meta.snakewebb.klip.instance["modes"] == [12]
    centred = read_geometry(target)
    assert_allclose(star_position(centred, (15.2, 16.7)), place, atol=3e-9)


def test_psfsub_is_what_stdatamodels_would_write(exposures, tmp_path, monkeypatch):
    source, *paths = (tmp_path / name / "e_psfsub.fits" for name in "cab")
    source.parent.mkdir()
    with CubeModel(exposures[0]) as model:
        model.var_flat = 2 * model.var_rnoise
        model.save(source)
    geometry = read_geometry(source)
    ra, dec = star_position(geometry, (15.2, 16.7))
    correction = star_correction(geometry, (15.2, 16.7), ra + 1e-4, dec + 1e-4)
    ones = np.ones((2, *SHAPE))
    for path in paths:
        path.parent.mkdir()
        with monkeypatch.context() as context:
            context.setattr(
                exposure_file, "_is_copyable", lambda *_, copied=path is paths[0]: copied
            )
            write_psfsub(
                source,
                path,
                Residual(0.5 * ones, 3.0 * ones, ones == 0, 2.0 * ones),
                pointing=Pointing(correction=correction, geometry=geometry),
                asn=ASN,
                provenance=Provenance(
                    {"klip": "COMPLETE"}, {"klip": {"truncate": 50, "modes": [12]}}
                ),
            )
    with CubeModel(paths[0]) as model:
        assert_allclose(model.var_flat[model.dq & DO_NOT_USE == 0], 4.0)
    assert_same(*paths)


@pytest.mark.parametrize("number", [0, 1])
def test_error_of_the_model_does_not_average_out(exposures, tmp_path, number):
    target = tmp_path / f"{exposures[number].name.rpartition('_')[0]}_psfsub.fits"
    own, common = 5.0, 3.0
    err = np.full((2, *SHAPE), np.hypot(own, common))
    bad = np.zeros(err.shape, bool)
    bad[0, :, 20:] = True
    residual = Residual(np.ones(err.shape), err, bad, np.full_like(err, common))
    write_psfsub(exposures[number], target, residual, provenance=Provenance())
    layout, inputs = integrations([target])
    rows = slice(0, layout.grid.shape[0])
    band = drizzle_band(inputs, layout.grid, rows, DrizzleOptions(weight_type=None))
    planes = [band.var_rnoise, band.var_poisson, band.var_flat]
    err = np.sqrt(np.nansum(planes, axis=0))
    both, one = band.con[0] == 3, band.con[0] == 2
    assert_allclose(np.median(err[both]), np.hypot(own / np.sqrt(2), common), rtol=1e-3)
    assert_allclose(np.median(err[one]), np.hypot(own, common), rtol=1e-3)


def test_psfmask(real_data, tmp_path):
    path = real_data / "psfmask" / "jwst_nircam_psfmask_0019.fits"
    mask = read_psfmask(path, (320, 320))
    assert mask.min() >= 0
    assert mask.max() <= 1
    with pytest.raises(InputError, match="for this subarray"):
        read_psfmask(path, (288, 224))
