import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from rates import PLACE, write_flat
from snakewebb.calibration.flat_field import flat_field
from snakewebb.errors import InputError
from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.io.planes import INVALIDATED
from snakewebb.references.flat import FlatFile
from snakewebb.references.subarrays import Subarray

NO_FLAT, POOR = BITS["NO_FLAT_FIELD"], BITS["UNRELIABLE_FLAT"]
SHAPE = PLACE[3], PLACE[2]
WHOLE = (1, 1, 60, 70)


def rate(shape=SHAPE, seed=3, names=("ERR", "VAR_POISSON", "VAR_RNOISE")):
    rng = np.random.default_rng(seed)
    planes = {name: rng.uniform(0.5, 2.0, shape).astype(np.float32) for name in ("SCI", *names)}
    planes["DQ"] = rng.choice(np.array([0, 4, 1024], np.uint32), shape)
    planes["DQ"][..., 0, 0] |= DO_NOT_USE  # with numbers, as in older files
    planes["SCI"][..., 0, 1] = np.nan  # without a flag
    return planes


def special(model, corner=(0, 0)):
    """One of each of the special pixels of a flat, in a row."""
    y, x = corner
    row = model.data[y + 2], model.err[y + 2], model.dq[y + 2]
    data, err, dq = (part[x:] for part in row)
    data[0] = np.nan
    data[1] = 0
    data[2], dq[2] = 1.7, NO_FLAT
    data[3], dq[3] = 1.7, POOR
    data[4], err[4] = 1.1, np.nan
    data[5], err[5] = np.nan, np.nan
    data[6], dq[6] = 0.9, DO_NOT_USE
    data[7], dq[7] = 0.9, POOR | NO_FLAT


def naive(planes, data, err, dq, inverse=False):
    """IMAGE2: pixel by pixel in double precision."""
    out = {name: plane.astype(float) for name, plane in planes.items() if name != "DQ"}
    out["VAR_FLAT"] = np.zeros_like(out["SCI"])
    out["DQ"] = planes["DQ"].copy()
    for index in np.ndindex(planes["SCI"].shape):
        at = index[-2:]
        flags = int(dq[at])
        if not np.isfinite(data[at]) or data[at] == 0:
            flags |= NO_FLAT
        if flags & NO_FLAT:
            flags |= DO_NOT_USE
        f = 1.0 if flags & DO_NOT_USE else float(data[at])
        e = float(err[at]) if np.isfinite(err[at]) else 0.0
        out["DQ"][index] |= flags
        out["SCI"][index] *= f if inverse else 1 / f
        for name in ("VAR_POISSON", "VAR_RNOISE"):
            if name in out:
                out[name][index] *= f**2 if inverse else f**-2
        out["VAR_FLAT"][index] = 0 if inverse else (out["SCI"][index] * e / f) ** 2
        rest = [out[name][index] for name in ("VAR_POISSON", "VAR_RNOISE") if name in out]
        rest = rest or [out["ERR"][index] ** 2 * (f**2 if inverse else f**-2)]
        out["ERR"][index] = np.sqrt(sum(rest) + out["VAR_FLAT"][index])
        bad = any(np.isnan(out[name][index]) for name in INVALIDATED if name in out)
        if bad or out["DQ"][index] & DO_NOT_USE:
            out["DQ"][index] |= DO_NOT_USE
            for name in INVALIDATED:
                if name in out:
                    out[name][index] = np.nan
    return out


def assert_planes(found, expected):
    assert found.keys() == expected.keys()
    for name, plane in found.items():
        if name == "DQ":
            assert_array_equal(plane, expected[name])
        else:
            assert plane.dtype == np.float32
            assert_allclose(plane, expected[name], rtol=1e-6, atol=0)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A flat of the whole detector with special pixels in the subarray, and its planes there."""
    kept = {}

    def change(model):
        special(model, (PLACE[1] - 1, PLACE[0] - 1))
        cut = np.s_[PLACE[1] - 1 : PLACE[1] - 1 + SHAPE[0], PLACE[0] - 1 : PLACE[0] - 1 + SHAPE[1]]
        kept.update({n: getattr(model, n)[cut].copy() for n in ("data", "err", "dq")})

    path = write_flat(tmp_path_factory.mktemp("flat") / "flat.fits", place=WHOLE, change=change)
    return path, kept


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("ints", [None, 3])
@pytest.mark.parametrize("names", [("ERR", "VAR_POISSON", "VAR_RNOISE"), ("ERR",)])
def test_pixel_by_pixel(flat, inverse, ints, names):
    path, known = flat
    planes = rate(SHAPE if ints is None else (ints, *SHAPE), names=names)
    expected = naive(planes, **known, inverse=inverse)
    flat_field(planes, FlatFile(path, Subarray(*PLACE)), inverse)
    assert_planes(planes, expected)
    assert np.isnan(expected["SCI"][..., 2, [0, 1, 2, 5, 6, 7]]).all()
    assert np.isfinite(expected["SCI"][..., 2, [3, 4]]).all()


def test_flags_of_special_pixels(flat):
    path, _ = flat
    file = FlatFile(path, Subarray(*PLACE))
    part = file.rows(slice(0, 5))
    lost, gone = DO_NOT_USE | NO_FLAT, DO_NOT_USE
    assert part.dq[2, :8].tolist() == [lost, lost, lost, POOR, 0, lost, gone, lost | POOR]
    assert part.data[2, [0, 1, 2, 5, 6, 7]].tolist() == [1] * 6
    assert_allclose(part.data[2, [3, 4]], [1.7, 1.1], rtol=1e-7)
    assert part.err[2, 4] == 0
    assert file.unknown_errors == 1
    assert file.good == 5 * SHAPE[1] - 6


def test_bands_make_no_difference(flat, monkeypatch):
    path, known = flat
    monkeypatch.setattr("snakewebb.io.bands.CACHED", 100)
    planes = rate()
    expected = naive(planes, **known)
    flat_field(planes, FlatFile(path, Subarray(*PLACE)))
    assert_planes(planes, expected)


def test_there_and_back(flat):
    path, _ = flat
    planes, before = rate(), rate()
    file = FlatFile(path, Subarray(*PLACE))
    flat_field(planes, file)
    flat_field(planes, file, inverse=True)
    good = (planes["DQ"] & DO_NOT_USE) == 0
    assert good.sum() > 1000
    for name in ("SCI", "VAR_POISSON", "VAR_RNOISE"):
        assert_allclose(planes[name][good], before[name][good], rtol=1e-6)
    assert not planes["VAR_FLAT"][good].any()


def test_an_exposure_without_errors_gets_none(flat):
    path, _ = flat
    planes = rate(names=())
    flat_field(planes, FlatFile(path, Subarray(*PLACE)))
    assert planes.keys() == {"SCI", "DQ"}


@pytest.mark.parametrize("defined", [True, False])
def test_flags_are_coded_by_the_table_if_there_is_one(tmp_path, defined):
    def raw(model):
        model.dq[0, :6] = [1, 2, 4, 1 << 25, 5, 1 << 18]

    path = write_flat(tmp_path / "flat.fits", dq_def=defined, change=raw)
    with fits.open(path, mode="update") as hdus:  # as they are stored, whatever the model did
        hdus["DQ"].data[0, :6] = [1, 2, 4, 8, 5, 2**31]
    dq = FlatFile(path, Subarray(*PLACE)).rows(slice(0, 1)).dq[0, :6].tolist()
    lost = DO_NOT_USE | NO_FLAT
    if defined:
        assert dq == [DO_NOT_USE, lost, POOR, 0, POOR | DO_NOT_USE, 0]
    else:
        assert dq == [1, 2, 4, 8, 5, 2**31]


@pytest.mark.parametrize("lacking", ["ERR", "DQ"])
def test_a_flat_need_not_have_errors_and_flags(tmp_path, lacking):
    path = write_flat(tmp_path / "flat.fits", dq_def=False)
    with fits.open(path, mode="update") as hdus:
        del hdus[lacking]
    file = FlatFile(path, Subarray(*PLACE))
    part = file.rows(slice(0, SHAPE[0]))
    assert not part.dq.any()
    assert (part.err == 0).all() == (lacking == "ERR")
    assert file.unknown_errors == 0


def test_errors_that_are_no_number_are_unknown(tmp_path):
    """MIRI's of the first years (jwst#3302)."""

    def change(model):
        model.err[:] = np.nan

    path = write_flat(tmp_path / "flat.fits", change=change)
    file = FlatFile(path, Subarray(*PLACE))
    planes = rate()
    flat_field(planes, file)
    assert file.unknown_errors == file.good == SHAPE[0] * SHAPE[1]
    assert not np.nan_to_num(planes["VAR_FLAT"]).any()
    assert (np.isnan(planes["SCI"])).sum() == 2


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((12, 21, 40, 30), "has 40 × 30 pixels at (12, 21), the exposure 40 × 30 pixels at (11"),
        ((11, 21, 39, 30), "39 × 30"),
        ((11, 22, 40, 40), "at (11, 22)"),
        ((1, 1, 50, 49), "50 × 49"),
    ],
)
def test_a_flat_that_does_not_cover_the_exposure(tmp_path, place, words):
    path = write_flat(tmp_path / "flat.fits", place=place)
    with pytest.raises(InputError) as error:
        FlatFile(path, Subarray(*PLACE))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_flat_without_a_good_pixel(tmp_path):
    def change(model):
        model.data[:] = np.nan

    file = FlatFile(write_flat(tmp_path / "flat.fits", change=change), Subarray(*PLACE))
    flat_field(rate(), file)
    with pytest.raises(InputError, match="has no good pixel where the exposure is: give a FLAT"):
        file.check()


def test_a_real_flat(real_data):
    path = real_data / "references" / "jwst_miri_flat_slitlessprism.fits"
    file = FlatFile(path, Subarray(1, 321, 68, 704))
    part = file.rows(slice(0, 704))
    assert part.data.shape == (704, 68)
    assert (part.data[(part.dq & DO_NOT_USE) != 0] == 1).all()
    assert file.good > 0
