import ast
import hashlib
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst import datamodels

from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.simulate import __main__ as command_line
from snakewebb.simulate import apertures, scene, stage2
from snakewebb.simulate.distortion import distortion
from snakewebb.simulate.guiding import GUIDE_STAR, GuidedSky, Guiding, aberrated, aberration_scale
from snakewebb.simulate.model import Frame, Observation
from snakewebb.simulate.observation import believed_frames
from snakewebb.simulate.presets import MIRI_FIELD, NIRCAM_FIELD, PRESETS, preset
from snakewebb.simulate.stage2_references import conversion_at
from snakewebb.wcs.sphere import to_plane, unit_vectors

MIRI = replace(preset("miri-f1130w", npix=96), dithers=MIRI_FIELD.dithers[:2])
OBSERVATIONS = {
    "nircam": replace(
        preset("nircam-short", npix=64), detectors=("NRCA1", "NRCA3"), dithers=((0.0, 0.0),)
    ),
    "miri": MIRI,
    "niriss": replace(preset("niriss-f150w", npix=64), dithers=((0.0, 0.0),)),
    "fgs": replace(preset("fgs", npix=48), dithers=((0.0, 0.0),)),
    "nircam-coron": replace(
        preset("nircam-coron", npix=48), dithers=((0.0, 0.0),), integrations=2, rolls=(64.0,)
    ),
    "miri-coron": replace(
        preset("miri-coron", npix=48), dithers=((0.0, 0.0),), integrations=2, rolls=(110.0,)
    ),
}
VARIANCES = ("VAR_POISSON", "VAR_RNOISE")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The observations, each in a folder of its own."""
    parent = tmp_path_factory.mktemp("stage2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {
            name: stage2.write(observation, parent / name).parent
            for name, observation in OBSERVATIONS.items()
        }


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the exposures with what they shall become."""
    rates = sorted(folder.glob("*_rate*.fits"))
    assert rates
    return [(rate, folder / "truth" / rate.name.replace("_rate", "_cal")) for rate in rates]


def reference(folder: Path, calibrated: Path, kind: str) -> Path:
    """Return the reference file that a calibrated exposure names."""
    keywords = {"distortion": "R_DISTOR", "filteroffset": "R_FILOFF", "flat": "R_FLAT"}
    keywords |= {"photom": "R_PHOTOM", "area": "R_AREA"}
    name = fits.getval(calibrated, keywords[kind]).removeprefix("crds://")
    return folder / "references" / name


def cut(header: fits.Header, plane: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """Return the exposure's part of a plane that begins at ``corner``."""
    x, y = header["SUBSTRT1"] - corner[0], header["SUBSTRT2"] - corner[1]
    return plane[y : y + header["SUBSIZE2"], x : x + header["SUBSIZE1"]]


def read_flat(path: Path, header: fits.Header) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return flat, error and DQ for an exposure, as documented for the reference pipeline."""
    with fits.open(path) as hdus:
        corner = hdus[0].header["SUBSTRT1"], hdus[0].header["SUBSTRT2"]
        planes = [cut(header, hdus[n].data, corner) for n in ("SCI", "ERR", "DQ")]
        codes = {row["NAME"]: row["VALUE"] for row in hdus["DQ_DEF"].data}
    flat, err, coded = planes
    dq = np.zeros(flat.shape, np.uint32)
    for name, value in codes.items():
        dq[(coded & value) != 0] |= BITS.get(name, DO_NOT_USE)
    dq[np.isnan(flat) | (flat == 0)] |= DO_NOT_USE | BITS["NO_FLAT_FIELD"]
    dq[(dq & BITS["NO_FLAT_FIELD"]) != 0] |= DO_NOT_USE
    return flat, err, dq


def read_conversion(path: Path, header: fits.Header) -> float:
    """Return the factor that the file PHOTOM has for an exposure."""
    keys = {"NIRCAM": "PUPIL", "NIRISS": "PUPIL", "MIRI": "SUBARRAY"}
    with fits.open(path) as hdus:
        table = hdus["PHOTOM"].data
        here = np.ones(len(table), bool)
        if header["INSTRUME"] in keys:
            here = table["filter"] == header["FILTER"]
            key = keys[header["INSTRUME"]]
            here &= table[key.lower()] == header[key]
            assert np.unique(table["photmjsr"]).size > 3
        assert here.sum() == 1
        factor = float(table["photmjsr"][here][0])
        days = header["EXPMID"] - 59720.0
        names = {hdu.name for hdu in hdus}
        if "TIMECOEFF_EXPONENTIAL" in names:
            row = hdus["TIMECOEFF_EXPONENTIAL"].data[here][0]
            factor /= row["amplitude"] * np.exp(-days / float(row["tau"])) + row["const"]
        if "TIMECOEFF_LINEAR" in names:
            factor /= 1 - float(hdus["TIMECOEFF_LINEAR"].data[here]["lossperyear"][0]) * days / 365
        if "TIMECOEFF_POWERLAW" in names:
            row = hdus["TIMECOEFF_POWERLAW"].data[here][0]
            soft = float(row["tsoft"])
            factor /= row["year1value"] * ((days + soft) / (365 + soft)) ** float(row["alpha"])
    return factor


# There and back


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_calibrating_gives_the_truth(folders, name):
    for rate, calibrated in pairs(folders[name]):
        header = fits.getheader(rate)
        flat, err, dq = read_flat(reference(folders[name], calibrated, "flat"), header)
        factor = read_conversion(reference(folders[name], calibrated, "photom"), header)
        bad = (dq & DO_NOT_USE) != 0
        assert bad.any()
        flat = np.where(bad, 1, flat).astype(float)
        with fits.open(rate) as before, fits.open(calibrated) as after:
            made = {"SCI": before["SCI"].data / flat * factor}
            for plane in VARIANCES:
                made[plane] = before[plane].data / flat**2 * factor**2
            made["VAR_FLAT"] = made["SCI"] ** 2 * (err / flat) ** 2
            made["ERR"] = np.sqrt(sum(made[plane] for plane in (*VARIANCES, "VAR_FLAT")))
            expected_dq = before["DQ"].data | dq
            assert_array_equal(after["DQ"].data, expected_dq)
            unusable = (expected_dq & DO_NOT_USE) != 0
            for plane, values in made.items():
                values[unusable] = np.nan
                assert_allclose(after[plane].data, values, rtol=1e-6)
            assert_allclose(after["SCI"].header["PHOTMJSR"], factor, rtol=1e-6)
            assert_allclose(after["SCI"].header["PHOTUJA2"], factor * 23.504430539, rtol=1e-6)
            assert np.isfinite(
                before["SCI"].data[:][..., bad & ~unusable.reshape(-1, *bad.shape)[0]]
            ).all()
        area = reference(folders[name], calibrated, "area")
        with fits.open(area) as hdus:
            assert_allclose(hdus["SCI"].data.mean(dtype=float), 1, rtol=1e-6)
            expected = cut(header, hdus["SCI"].data, (1, 1))
            assert_array_equal(fits.getdata(calibrated, "AREA"), expected)
            for key in ("PIXAR_SR", "PIXAR_A2"):
                assert fits.getval(calibrated, key, "SCI") == hdus[0].header[key]


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_distortion_and_offset_give_the_wcs(folders, name):
    for rate, calibrated in pairs(folders[name]):
        header = fits.getheader(rate)
        column, line = 0.0, 0.0
        if name != "fgs":
            with asdf.open(reference(folders[name], calibrated, "filteroffset")) as file:
                (row,) = (
                    row
                    for row in file.tree["filters"]
                    if row["filter"] == header["FILTER"]
                    and row["pupil"] == header.get("PUPIL", "N/A")
                )
            column, line = row["column_offset"], row["row_offset"]
            assert min(abs(column), abs(line)) > 1e-3
        x, y = np.meshgrid(np.linspace(0, header["SUBSIZE1"], 5), np.linspace(0, 40, 5))
        with asdf.open(reference(folders[name], calibrated, "distortion")) as file:
            model = file.tree["model"]
            seen = (
                x + header["SUBSTRT1"] - 1 + column,
                y + header["SUBSTRT2"] - 1 + line,
            )
            v2_v3 = model(*seen)
            assert_allclose(model.inverse(*v2_v3), seen, atol=0.01)
        with datamodels.open(calibrated) as truth:
            expected = truth.meta.wcs.get_transform("detector", "v2v3")(x, y)
        assert_allclose(v2_v3, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", apertures.apertures())
def test_distortion_is_that_of_the_siaf_with_a_better_inverse(name):
    row = apertures.apertures()[name]
    model = distortion(row, (0.25, -0.5))
    x, y, v2, v3 = np.transpose(row.control)
    x, y = x + row.start[0] - 2 + 0.25, y + row.start[1] - 2 - 0.5
    assert_allclose(model(x, y), (v2, v3), rtol=0, atol=1e-9)
    assert_allclose(model.inverse(v2, v3), (x, y), rtol=0, atol=0.01)


def test_conversion_follows_the_throughput():
    assert conversion_at(2.0, {}, 60000.0) == 2.0
    linear = {"linear": {"t0": 59720.0, "lossperyear": 0.1}}
    assert_allclose(conversion_at(2.0, linear, 59720 + 365), 2 / 0.9)
    exponential = {"exponential": {"t0": 59720.0, "amplitude": 0.5, "tau": 100.0, "const": 0.5}}
    assert_allclose(conversion_at(2.0, exponential, 59820), 2 / (0.5 * np.exp(-1) + 0.5))
    power = {"powerlaw": {"t0": 59720.0, "year1value": 0.5, "tsoft": 1.0, "alpha": 1.0}}
    assert_allclose(conversion_at(2.0, power, 59720 + 182), 2 / 0.25)
    assert_allclose(conversion_at(2.0, linear | power, 59720 + 365), 2 / 0.9 / 0.5, rtol=1e-7)


# Files


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_exposures_open_as_stage_1_leaves_them(folders, name):
    for rate, calibrated in pairs(folders[name]):
        cube = rate.name.endswith("_rateints.fits")
        with fits.open(rate) as hdus:
            names = ["SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "ASDF"]
            if cube:
                names.insert(3, "INT_TIMES")
            assert [hdu.name for hdu in hdus[1:]] == names
            assert hdus["SCI"].header["BUNIT"] == hdus["ERR"].header["BUNIT"] == "DN/s"
            assert {"GS_RA", "GS_DEC", "PCS_MODE"} < set(hdus[0].header)
            assert {"JWST_DX", "JWST_DY", "JWST_DZ", "VA_SCALE"} < set(hdus["SCI"].header)
            keys = {*hdus[0].header, *hdus["SCI"].header}
            stage_2 = {"S_WCS", "S_FLAT", "S_PHOTOM", "R_FLAT", "R_PHOTOM", "R_DISTOR", "PHOTMJSR"}
            assert not keys & (stage_2 | {"PIXAR_SR", "A_ORDER", "CD1_1", "ASNTABLE"})
            assert hdus[0].header["S_RAMP"] == "COMPLETE"
            bad = (hdus["DQ"].data & DO_NOT_USE) != 0
            for plane in ("SCI", "ERR", *VARIANCES):
                assert_array_equal(np.isnan(hdus[plane].data), bad)
            total = sum(hdus[plane].data for plane in VARIANCES)
            assert_allclose(hdus["ERR"].data ** 2, total, rtol=1e-5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for path in (rate, calibrated):
                with datamodels.open(path) as model:
                    kind = datamodels.CubeModel if cube else datamodels.ImageModel
                    assert isinstance(model, kind)
                    model.validate()
                    assert (model.meta.wcs is None) == (path == rate)


@pytest.mark.parametrize("name", ["nircam", "miri", "niriss", "fgs"])
def test_header_of_stage_1_points_at_the_sky(folders, name):
    for rate, calibrated in pairs(folders[name]):
        header = fits.getheader(rate, "SCI")
        assert header["CTYPE1"] == "RA---TAN"
        with datamodels.open(calibrated) as truth:
            x, y = np.array([5.0, 44.0, 30.0]), np.array([46.0, 7.0, 40.0])
            sky = truth.meta.wcs(x, y)
            x_header, y_header = WCS(header, fix=False).all_world2pix(*sky, 0)
        # 1 % of the distance from the reference pixel, and the aberration
        assert_allclose(np.hypot(x_header - x, y_header - y), 0, atol=1.5)


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_reference_files_open_without_a_warning(folders, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in sorted((folders[name] / "references").iterdir()):
            if path.name == "psfmask.fits":
                continue
            with datamodels.open(path) as model:
                model.validate()
                assert model.meta.reftype in path.name
                assert model.meta.useafter == "2022-01-01T00:00:00"
                assert model.meta.instrument.name.lower() in path.name
                if path.suffix == ".fits" and model.meta.reftype != "photom":
                    assert model.meta.instrument.filter or name == "fgs"
                    assert model.meta.instrument.detector


def test_real_distortion_of_miri_is_built_alike():
    data = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = data / "references" / "jwst_miri_distortion_0028.asdf"
    if not path.exists():
        pytest.skip("no real reference files here")

    def parts(model) -> list[str]:
        return [type(model[i]).__name__ for i in range(model.n_submodels)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tags of an older asdf
        with asdf.open(path) as file:
            real = parts(file.tree["model"])
    assert parts(distortion(apertures.imaging_aperture("MIRIMAGE"), (0.0, 0.0))) == real


def test_associations_name_what_is_there_and_what_shall_be(folders):
    folder = folders["miri"]
    (path,) = folder.glob("*_image3_*_asn.json")
    (product,) = json.loads(path.read_text())["products"]
    members = [member["expname"] for member in product["members"]]
    assert members == [f"jw01235001001_02101_0000{i}_mirimage_cal.fits" for i in (1, 2)]
    assert not any((folder / member).exists() for member in members)
    made = {}
    for path in sorted(folder.glob("*_image2_*_asn.json")):
        content = json.loads(path.read_text())
        assert content["asn_type"] == "image2"
        (product,) = content["products"]
        assert all((folder / member["expname"]).exists() for member in product["members"])
        made[product["name"]] = [
            (member["expname"][:13], member["exptype"]) for member in product["members"]
        ]
    science, sky = ("jw01235001001", "science"), ("jw01235002001", "background")
    assert made == {
        "jw01235001001_02101_00001_mirimage": [science, sky, sky],
        "jw01235001001_02101_00002_mirimage": [science, sky, sky],
        "jw01235002001_02101_00001_mirimage": [("jw01235002001", "science")],
        "jw01235002001_02101_00002_mirimage": [("jw01235002001", "science")],
    }


def test_background_is_the_same_sky_with_other_stars_and_noise(folders):
    folder = folders["miri"]
    for index in (1, 2):
        field, sky = (
            fits.getdata(folder / f"jw0123500{i}001_02101_0000{index}_mirimage_rate.fits")
            for i in (1, 2)
        )
        assert_allclose(np.nanmedian(sky), np.nanmedian(field), rtol=0.02)
        # The flat is common, and what it does not take off. Where it is bad nothing is divided.
        flat = fits.getdata(folder / "references" / "jwst_miri_flat_0001.fits", "SCI")
        header = fits.getheader(folder / "jw01235001001_02101_00001_mirimage_rate.fits")
        flat, quiet, noise = cut(header, flat, (1, 1)), np.ones(field.shape, bool), []
        for plane in (field, sky):
            with np.errstate(invalid="ignore", divide="ignore"):
                even = plane / flat
            level = np.nanmedian(even)
            quiet &= np.abs(even - level) < 0.02 * level
            noise.append(even)
        assert quiet.sum() > 3000
        a, b = (even[quiet] for even in noise)
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.25
    header = fits.getheader(folder / "jw01235002001_02101_00001_mirimage_rate.fits")
    assert header["BKGDTARG"]
    beside = to_plane(*(header_of(folder, 2)[k] for k in ("RA_REF", "DEC_REF")), *middle(folder))
    # Off by the larger dither of the first exposure.
    assert_allclose(np.hypot(*np.subtract(beside, (0, 300))), np.hypot(1.13, 0.28) * 9, atol=1.5)


def test_each_exposure_has_bad_pixels_of_its_own(folders):
    lost = []
    for rate, _ in pairs(folders["miri"]):
        dq = fits.getdata(rate, "DQ")
        lost.append((dq & BITS["SATURATED"]) != 0)
        assert np.all(dq[lost[-1]] & DO_NOT_USE)
    assert_allclose(np.mean(lost), 5e-4, rtol=0.8)
    assert not np.any(np.sum(lost, axis=0) == len(lost))


def header_of(folder: Path, number: int) -> fits.Header:
    """Return the SCI header of the first exposure of an observation."""
    return fits.getheader(folder / f"jw0123500{number}001_02101_00001_mirimage_rate.fits", "SCI")


def middle(folder: Path) -> tuple[float, float]:
    """Return where the first exposure points."""
    header = header_of(folder, 1)
    return header["RA_REF"], header["DEC_REF"]


def test_crds_cache_leads_to_the_files(folders):
    folder = folders["nircam"]
    mappings = folder / "crds" / "mappings" / "jwst"
    for path in mappings.iterdir():
        lines = path.read_text().splitlines(keepends=True)
        (noted,) = (line for line in lines if "'sha1sum'" in line)
        lines.remove(noted)
        assert hashlib.sha1("".join(lines).encode()).hexdigest() in noted
        assert isinstance(ast.parse(path.read_text()).body[0], ast.Assign)
    text = (mappings / "jwst_nircam_flat_0001.rmap").read_text()
    for detector, number in (("NRCA1", 1), ("NRCA3", 2)):
        assert f"('{detector}', 'F200W', 'CLEAR')" in text
        name = f"jwst_nircam_flat_000{number}.fits"
        assert f"'2022-01-01 00:00:00' : '{name}'" in text
        linked = folder / "crds" / "references" / "jwst" / "nircam" / name
        assert fits.getval(linked, "DETECTOR") == detector
    # all detectors behind the same optics have one
    offsets = folder / "references"
    assert [path.name for path in offsets.glob("*filteroffset*")] == [
        "jwst_nircam_filteroffset_0002.asdf"
    ]
    config = folder / "crds" / "config" / "jwst" / "server_config"
    assert ast.literal_eval(config.read_text())["operational_context"] == "jwst_0001.pmap"


def test_command_line_writes_rates(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PRESETS, "niriss-f150w", OBSERVATIONS["niriss"])
    arguments = ["simulate", "niriss-f150w", str(tmp_path), "--npix", "48", "--rate"]
    monkeypatch.setattr("sys.argv", arguments)
    command_line.main()
    assert Path(capsys.readouterr().out.strip()).parent == tmp_path
    assert len(list(tmp_path.glob("*_rate.fits"))) == 1
    assert not list(tmp_path.glob("*_cal.fits"))


def test_an_observation_with_its_own_wcs_has_no_distortion_file(tmp_path):
    with pytest.raises(ValueError, match="gWCS of its own"):
        stage2.write(replace(MIRI, wcs=()), tmp_path)


# Velocity aberration


def guided_frame(va_scale: float, detector: str = "NRCALONG", **changes) -> tuple[Frame, Guiding]:
    """Return a detector that the guide star holds, and what holds it."""
    observation = replace(
        NIRCAM_FIELD,
        detectors=(detector,),
        dithers=((0.0, 0.0),),
        va_scale=va_scale,
        dva_pivot="guide_star",
        **changes,
    )
    return believed_frames(observation)[0][0], Guiding.of(observation)


def test_velocity_gives_the_scale():
    for scale in (0.9999, 0.99995, 1.00004):
        frame, guiding = guided_frame(scale)
        assert_allclose(frame.va_scale - 1, scale - 1, atol=1e-9)
        assert_allclose(np.linalg.norm(guiding.velocity), 30.0, atol=0.01)


def test_aberration_is_that_of_special_relativity():
    motion = np.array([0.0, 0.0, 0.5 * 299792.458])
    angles = np.radians([0.0, 30.0, 90.0, 150.0, 180.0])
    true = np.stack((np.sin(angles), 0 * angles, np.cos(angles)), axis=-1)
    seen = aberrated(true, motion)
    assert_allclose(np.linalg.norm(seen, axis=-1), 1)
    # tan(seen / 2) = sqrt((1 - beta) / (1 + beta)) tan(true / 2)
    expected = 2 * np.arctan(np.sqrt(1 / 3) * np.tan(angles / 2))
    assert_allclose(np.arccos(np.clip(seen[:, 2], -1, 1)), expected, atol=1e-7)
    assert_allclose(aberrated(seen, -motion), true, atol=1e-12)
    step = 1e-5
    near = aberrated(unit_vectors([10.0, 10.0], [40.0, 40.0 + step]), motion)
    apparent = np.degrees(np.linalg.norm(near[1] - near[0]))
    assert_allclose(step / apparent, aberration_scale(motion, 10.0, 40.0), rtol=1e-6)


@pytest.mark.parametrize("scale", [0.9999, 0.99995, 1.00008])
@pytest.mark.parametrize("detector", ["NRCALONG", "NRCB4", "MIRIMAGE", "NIS", "GUIDER2"])
def test_pivot_at_the_guide_star_is_right(scale, detector):
    instrument = {"MIRIMAGE": "F1130W", "NIS": "F150W", "GUIDER2": "OPEN"}.get(detector, "F356W")
    frame, _ = guided_frame(scale, detector, filter=instrument)
    nx, ny = frame.size
    x, y = np.array([0.0, nx / 2, nx]), np.array([0.0, ny / 2, ny / 3])
    true, believed = frame.sky(x, y), frame.wcs(x, y, with_bounding_box=False)
    assert_allclose(
        to_plane(*true, *believed_middle(frame)),
        to_plane(*believed, *believed_middle(frame)),
        atol=2e-4,
    )


def believed_middle(frame: Frame) -> tuple[float, float]:
    """Return where the reference point looks."""
    return frame.wcsinfo["ra_ref"], frame.wcsinfo["dec_ref"]


def test_pivot_of_each_detector_pulls_detectors_apart():
    observation = replace(
        NIRCAM_FIELD, detectors=("NRCALONG", "NRCBLONG"), dithers=((0.0, 0.0),), va_scale=0.9999
    )
    errors = []
    guided = believed_frames(replace(observation, dva_pivot="guide_star"))[0]
    for frame, plain in zip(guided, believed_frames(observation)[0], strict=True):
        row = apertures.imaging_aperture(frame.detector)
        x, y = np.array([100.0, 1900.0]), np.array([300.0, 1500.0])
        origin = believed_middle(frame)
        true, wrong = (to_plane(*sky(x, y), *origin) for sky in (frame.sky, plain.wcs))
        shift = np.subtract(wrong, true).mean(axis=1)
        errors.append(shift)
        distance = np.hypot(row.v2_ref - GUIDE_STAR[0], row.v3_ref - GUIDE_STAR[1])
        assert_allclose(np.hypot(*shift), 1e-4 * distance, atol=2e-4)
    assert_allclose(np.hypot(*np.subtract(*errors)), 0.0175, atol=3e-4)


def test_guide_star_stays_where_the_catalogue_has_it():
    frame, guiding = guided_frame(0.9999)
    row = apertures.imaging_aperture("NRCALONG")
    pointing = apertures.Pointing(
        *(frame.wcsinfo[k] for k in ("ra_ref", "dec_ref", "roll_ref", "v2_ref", "v3_ref"))
    )
    assert_allclose(pointing.find(guiding.ra, guiding.dec), GUIDE_STAR, atol=1e-6)

    class Straight:
        """Pixels are V2, V3."""

        @staticmethod
        def get_transform(*_):
            return lambda v2, v3: (v2, v3)

    sky = GuidedSky(Straight(), pointing, guiding)
    assert_allclose(sky(*GUIDE_STAR), (guiding.ra, guiding.dec), atol=1e-10)
    for offset, true in (((100.0, 0.0), 100 * np.cos(np.radians(-712 / 3600))), ((0, 100), 100)):
        place = to_plane(*sky(*np.add(GUIDE_STAR, offset)), guiding.ra, guiding.dec)
        assert_allclose(np.hypot(*place), true * 0.9999, atol=1e-4)
    assert row.v2_ref == frame.wcsinfo["v2_ref"]


def test_stars_fall_where_the_guide_star_has_them(tmp_path):
    quiet = {"cosmic_ray_rate": 0.0, "pointing_error": 0.0, "roll_error": 0.0, "bad_fraction": 0.0}
    (frame,) = believed_frames(
        Observation(("NRCALONG",), "F356W", ((0.0, 0.0),), npix=64, dva_pivot="guide_star")
    )[0]
    ra, dec = map(float, frame.sky(30.25, 33.5))
    observation = Observation(
        ("NRCALONG",),
        "F356W",
        ((0.0, 0.0),),
        npix=64,
        sources=scene.catalog([ra], [dec], [1e-4]),
        **quiet,
    )
    folder = stage2.write(observation, tmp_path).parent
    (path,) = (folder / "truth").glob("*_cal.fits")
    image = np.nan_to_num(fits.getdata(path, "SCI")[28:40, 24:37])
    image = np.clip(image - np.median(image), 0, None)
    y, x = np.indices(image.shape)
    center = [(image * x).sum() / image.sum() + 24, (image * y).sum() / image.sum() + 28]
    assert_allclose(center, (30.25, 33.5), atol=0.05)


def test_plain_exposures_say_nothing_of_the_guide_star(tmp_path):
    from snakewebb.simulate.observation import write

    observation = replace(preset("niriss-f150w", npix=48), dithers=((0.0, 0.0),))
    folder = write(observation, tmp_path).parent
    (path,) = folder.glob("*_cal.fits")
    keys = {*fits.getheader(path), *fits.getheader(path, "SCI")}
    assert not keys & {"GS_RA", "GS_DEC", "JWST_DX"}
    assert fits.getval(path, "VA_SCALE", "SCI") == 0.99995
