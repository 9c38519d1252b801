import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from snakewebb.calibration.background import BackgroundOptions, combine, subtract
from snakewebb.io.dq import ALL, DO_NOT_USE

NAMES = ("ERR", "VAR_POISSON", "VAR_RNOISE")
JUMP, DEAD = 4, 1024


def stack(number, shape=(12, 15), seed=0, sigma=0.1, level=1.0):
    rng = np.random.default_rng([number, seed])
    size = (number, *shape)
    planes = {
        "SCI": (level + sigma * rng.standard_normal(size)).astype(np.float32),
        "VAR_POISSON": np.full(size, 0.64 * sigma**2, np.float32),
        "VAR_RNOISE": (0.36 * sigma**2 * rng.uniform(0.8, 1.2, size)).astype(np.float32),
        "DQ": rng.choice(np.array([0, JUMP, DEAD | JUMP], np.uint32), size),
    }
    planes["ERR"] = np.sqrt(planes["VAR_POISSON"] + planes["VAR_RNOISE"])
    return planes


def hit(planes, seed=1, share=0.1):
    """Cosmic rays, bad and lost pixels."""
    rng = np.random.default_rng(seed)
    sci = planes["SCI"]
    sci[rng.random(sci.shape) < share] += 50
    sci[rng.random(sci.shape) < share] = np.nan
    planes["DQ"][rng.random(sci.shape) < share] |= DO_NOT_USE
    planes["ERR"][rng.random(sci.shape) < share / 3] = np.nan


def naive(planes, sigma, maxiters, sources, levels):
    """In the words of the docstring, pixel by pixel."""
    number, *shape = planes["SCI"].shape
    mean = float(np.mean(levels or [0.0]))
    shifts = [mean - level for level in levels or [0.0] * number]
    shifted = planes["SCI"] + np.array(shifts, np.float32)[:, None, None]
    planes = {**planes, "SCI": shifted}
    out = {name: np.full(shape, np.nan) for name in planes}
    out["DQ"] = np.zeros(shape, np.uint32)
    used = rejected = 0
    for y, x in np.ndindex(*shape):
        at = [{name: plane[n, y, x] for name, plane in planes.items()} for n in range(number)]
        usable = [
            n
            for n, p in enumerate(at)
            if np.isfinite(p["SCI"]) and np.isfinite(p["ERR"]) and not p["DQ"] & DO_NOT_USE
        ]
        if sources is not None and any(not sources[n, y, x] for n in usable):
            usable = [n for n in usable if not sources[n, y, x]]
        kept, passes = list(usable), 0
        while len(kept) > 1 and (maxiters is None or passes < maxiters):
            values = sorted(float(at[n]["SCI"]) for n in kept)
            centre = values[0] if len(kept) == 2 else float(np.median(values))
            other = min(max(centre / mean - 1, -1), 1) if mean > 0 else 0.0
            noise = {n: float(at[n]["ERR"]) ** 2 + (other * shifts[n]) ** 2 for n in kept}
            if len(kept) == 2:
                noise = dict.fromkeys(kept, sum(noise.values()))
            off = {n: abs(float(at[n]["SCI"]) - centre) for n in kept}
            spread = 0.0 if len(kept) == 2 else 1.4826 * float(np.median(list(off.values())))
            left = [n for n in kept if off[n] <= sigma * max(noise[n] ** 0.5, spread)]
            if left == kept:
                break
            kept, passes = left, passes + 1
        used, rejected = used + len(kept), rejected + len(usable) - len(kept)
        flags = ALL
        for n in kept or range(number):
            flags &= int(at[n]["DQ"])
        out["DQ"][y, x] = flags & ~DO_NOT_USE if kept else flags | DO_NOT_USE
        if kept:
            out["SCI"][y, x] = sum(float(at[n]["SCI"]) for n in kept) / len(kept)
            for name in ("VAR_POISSON", "VAR_RNOISE"):
                if name in out:
                    out[name][y, x] = sum(float(at[n][name]) for n in kept) / len(kept) ** 2
            total = sum(float(at[n]["ERR"]) ** 2 for n in kept)
            out["ERR"][y, x] = total**0.5 / len(kept)
    return out, used, rejected


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize(
    ("sigma", "maxiters", "level"),
    [(3.0, None, 0.0), (2.0, 1, 1.0), (1.0, None, 0.6), (3.0, 0, 0.0), (2.0, None, -1.0)],
)
def test_pixel_by_pixel(number, sigma, maxiters, level):
    planes = stack(number)
    levels = [level + 0.2 * n for n in range(number)] if level else None
    hit(planes)
    sources = np.random.default_rng(5).random(planes["SCI"].shape) < 0.2
    for masks in (None, sources):
        expected, used, rejected = naive(planes, sigma, maxiters, masks, levels)
        found = combine(planes, BackgroundOptions(sigma, maxiters), masks, levels)
        assert (found.used, found.rejected) == (used, rejected)
        assert found.planes.keys() == expected.keys()
        for name, plane in found.planes.items():
            if name == "DQ":
                assert_array_equal(plane, expected[name])
            else:
                assert_allclose(plane, expected[name], rtol=1e-6)
                assert plane.dtype == np.float32
    assert (rejected > 0) == (number > 1 and maxiters != 0)


@pytest.mark.parametrize("number", [2, 3, 4, 7])
def test_one_cosmic_ray_does_not_survive(number):
    """Clipped by the standard deviation of the values, it does among less than 8."""
    planes = stack(number, sigma=0.1)
    planes["SCI"][1, 3, 4] = 50.0
    found = combine(planes).planes["SCI"][3, 4]
    others = np.delete(planes["SCI"][:, 3, 4], 1)
    assert_allclose(found, others.mean(), rtol=1e-6)


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_noise_survives(number):
    """Little is lost of values that only scatter, and their mean is not shifted."""
    planes = stack(number, shape=(200, 500))
    found = combine(planes)
    assert found.rejected < 0.01 * (found.used + found.rejected)
    assert abs(found.planes["SCI"].mean(dtype=float) - 1) < 0.002
    scatter = float((planes["SCI"].mean(axis=0) - 1).std())
    assert_allclose(found.planes["SCI"].std(), scatter, rtol=0.05)
    assert_allclose(found.planes["ERR"].mean(), 0.1 / np.sqrt(number), rtol=0.01)


def test_levels_that_differ_are_no_outliers_and_hide_none():
    """Those of MIRI's sky differ by many times the noise."""
    for number in (2, 3, 4):
        planes = stack(number, sigma=0.01)
        levels = [1 + 0.5 * n for n in range(number)]
        planes["SCI"] += np.array(levels, np.float32)[:, None, None] - 1
        mean = planes["SCI"].mean(axis=0)
        found = combine(planes, levels=levels)
        assert found.rejected < 0.01 * found.used
        assert_allclose(found.planes["SCI"], mean, atol=0.02)
        planes["SCI"][0, 3, 4] += 0.2
        planes["SCI"][1, 5, 6] = np.nan
        again = combine(planes, levels=levels).planes["SCI"]
        # The level is that of all exposures, whichever are left.
        assert_allclose(again, mean, atol=0.03)
    assert combine(planes).planes["SCI"][5, 6] > mean[5, 6] + 0.05


def test_a_response_that_differs_is_no_outlier():
    planes = stack(2, sigma=0.001)
    levels = [1.0, 2.0]
    planes["SCI"] += np.array([0, 1], np.float32)[:, None, None]
    planes["SCI"][:, :6] *= np.float32(0.7)
    assert combine(planes, levels=levels).rejected <= 2


def test_flags_of_one_exposure_do_not_spoil_others():
    planes = stack(3)
    planes["DQ"][:] = [[[JUMP]], [[JUMP | DEAD]], [[JUMP]]]
    planes["DQ"][0, 1, 1] |= DO_NOT_USE
    planes["SCI"][0, 1, 1] = 1e6  # bad pixels do not count, whatever they hold
    planes["DQ"][:, 2, 2] = DO_NOT_USE | DEAD
    planes["SCI"][:, 3, 3] = np.nan
    found = combine(planes).planes
    assert found["DQ"][0, 0] == found["DQ"][1, 1] == JUMP
    assert found["SCI"][1, 1] < 2
    assert found["DQ"][2, 2] == DO_NOT_USE | DEAD
    assert found["DQ"][3, 3] == DO_NOT_USE | JUMP
    assert np.isnan(found["SCI"][[2, 3], [2, 3]]).all()
    assert np.isnan(found["VAR_POISSON"][[2, 3], [2, 3]]).all()


def test_a_source_counts_only_where_all_have_one():
    planes, sources = stack(2, sigma=1.0), np.zeros((2, 12, 15), bool)
    sources[0, 1, 1] = sources[:, 2, 2] = True
    found = combine(planes, sources=sources).planes["SCI"]
    assert found[1, 1] == planes["SCI"][1, 1, 1]
    assert_allclose(found[2, 2], planes["SCI"][:, 2, 2].mean(), rtol=1e-6)


@pytest.mark.parametrize("ints", [None, 3])
@pytest.mark.parametrize("names", [NAMES, ("ERR",)])
def test_subtraction(ints, names):
    background = combine({k: v for k, v in stack(3).items() if k in ("SCI", "DQ", *names)}).planes
    background["DQ"][0, 0] |= DO_NOT_USE
    background["SCI"][0, 0] = np.nan
    background["DQ"][5, 5] = DEAD
    planes = stack(ints or 1, seed=3)
    planes = planes if ints else {name: plane[0] for name, plane in planes.items()}
    before = {name: plane.copy() for name, plane in planes.items()}
    subtract(planes, background)
    good = np.ones(planes["SCI"].shape, bool)
    good[..., 0, 0] = False

    def check(name, expected):
        assert_allclose(planes[name][good], np.broadcast_to(expected, good.shape)[good], rtol=1e-6)
        assert np.isnan(planes[name][~good]).all()

    wide = {name: plane.astype(float) for name, plane in before.items()}
    check("SCI", wide["SCI"] - background["SCI"])
    check("ERR", np.sqrt(wide["ERR"] ** 2 + background["ERR"].astype(float) ** 2))
    if "VAR_RNOISE" in names:
        check("VAR_POISSON", wide["VAR_POISSON"] + background["VAR_POISSON"])
        check("VAR_RNOISE", wide["VAR_RNOISE"] + background["VAR_RNOISE"])
    else:
        check("VAR_POISSON", wide["VAR_POISSON"])
        check("VAR_RNOISE", wide["VAR_RNOISE"] + background["ERR"].astype(float) ** 2)
    check("ERR", np.sqrt(planes["VAR_POISSON"].astype(float) + planes["VAR_RNOISE"]))
    expected = before["DQ"] | background["DQ"]
    assert_array_equal(planes["DQ"], expected)
