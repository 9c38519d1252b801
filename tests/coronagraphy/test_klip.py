from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter

from coronagraphs import speckles
from naive import klip
from snakewebb.coronagraphy.align_refs import align
from snakewebb.coronagraphy.fourier import fourier_shift, turn
from snakewebb.coronagraphy.klip import KlipOptions, Library
from snakewebb.coronagraphy.reduction import Roll, reduction, search_region
from snakewebb.coronagraphy.repair import repair_pixels
from snakewebb.coronagraphy.stack_refs import read_cube
from snakewebb.coronagraphy.star import disc, star_correction, star_position
from snakewebb.coronagraphy.strategy import library
from snakewebb.coronagraphy.symmetry import symmetric_part
from snakewebb.coronagraphy.zones import zones
from snakewebb.errors import InputError
from snakewebb.io.dq import NON_SCIENCE
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset
from snakewebb.wcs.exposure import read_geometry

SHAPE = (96, 96)
STAR = (47.0, 48.0)
NOISE = 0.5


def radius():
    y, x = np.indices(SHAPE)
    return np.hypot(x - STAR[0], y - STAR[1])


def cube(count, *, seed=0, brightness=1.0, drift=0.1, noise=NOISE):
    """Integrations of a star whose speckles drift from one to the next."""
    rng = np.random.default_rng([seed, 5])
    light = [
        speckles(SHAPE, STAR, drift=drift, drift_seed=1000 * seed + k, reach=14, count=60)
        for k in range(count)
    ]
    return brightness * np.array(light) + noise * rng.standard_normal((count, *SHAPE))


REFERENCES = cube(12)
TARGET = cube(3, seed=1, brightness=2.0)


# --- the projection ------------------------------------------------------------------------------


@pytest.mark.parametrize("truncate", [0, 1, 5, 50])
def test_full_frame_agrees_with_its_twin(truncate):
    (result,) = Library(REFERENCES, options=KlipOptions(truncate=truncate)).subtract(TARGET)
    for image, residual in zip(TARGET, result.data, strict=True):
        expected = klip(image, REFERENCES, truncate)
        assert np.abs(residual - expected).max() < 1e-10 * np.abs(image).max()
    assert result.modes == [min(truncate, 12)]


def test_several_truncates_are_those_on_their_own():
    results = Library(REFERENCES, options=KlipOptions(truncate=[7, 2])).subtract(TARGET)
    for number, result in zip((7, 2), results, strict=True):
        (alone,) = Library(REFERENCES, options=KlipOptions(truncate=number)).subtract(TARGET)
        assert_array_equal(result.data, alone.data)
        assert result.truncate == number


def test_modes_beyond_the_rank_are_dropped():
    double = np.concatenate((REFERENCES, 3 * REFERENCES[:5])).astype(np.float32)
    (result,) = Library(double).subtract(TARGET)
    assert result.modes == [12]
    assert_allclose(
        result.data,
        Library(REFERENCES.astype(np.float32)).subtract(TARGET)[0].data,
        atol=1e-4,
    )


def test_equal_input_gives_equal_output():
    first, second = (Library(REFERENCES).subtract(TARGET)[0].data for _ in range(2))
    assert_array_equal(first, second)


def test_eigenvalues_are_those_of_the_covariance():
    (result,) = Library(REFERENCES).subtract(TARGET)
    expected = np.linalg.eigvalsh(np.cov(REFERENCES.reshape(12, -1)))[::-1]
    assert_allclose(result.eigenvalues[0], expected, rtol=1e-9)


def test_the_most_similar_references_are_chosen():
    other = np.array([speckles(SHAPE, STAR, seed=k + 50) for k in range(4)])
    mixed = np.concatenate((other[:2], REFERENCES[:3], other[2:]))
    (result,) = Library(mixed, options=KlipOptions(n_references=3)).subtract(TARGET)
    assert_array_equal(result.references[0], [2, 3, 4])
    assert_allclose(result.data[0], klip(TARGET[0], REFERENCES[:3], 50), atol=1e-9)


# --- zones ---------------------------------------------------------------------------------------


def test_zones_divide_the_frame():
    divided = zones(SHAPE, STAR, annuli=4, subsections=3)
    assert len(divided) == 12
    assert_array_equal(np.sort(np.concatenate(divided)), np.arange(SHAPE[0] * SHAPE[1]))
    (ring,) = zones(SHAPE, STAR, annuli=[5, 12], subsections=1)
    expected = (radius() >= 5) & (radius() < 12)
    assert_array_equal(ring, np.flatnonzero(expected))


def test_a_zone_is_reduced_on_its_own_and_the_rest_is_nan():
    mask = radius() < 30
    options = KlipOptions(annuli=[4, 10, 40], truncate=4)
    (result,) = Library(REFERENCES, options=options, center=STAR, mask=mask).subtract(TARGET)
    ring = (radius() >= 4) & (radius() < 10)
    expected = klip(TARGET[0][ring], REFERENCES[:, ring], 4)
    assert_allclose(result.data[0][ring], expected, atol=1e-9)
    assert_array_equal(np.isfinite(result.data[0]), (radius() >= 4) & mask)
    assert len(result.modes) == 2


def test_nothing_to_work_with_is_an_error():
    with pytest.raises(InputError, match="no references"):
        Library(REFERENCES[:0])
    with pytest.raises(InputError, match="no pixel: check inner_radius"):
        Library(REFERENCES, mask=np.zeros(SHAPE, bool))


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "brightness", "region"),
    [(12, 2.0, {}), (3, 2.0, {}), (12, 10.0, {}), (12, 2.0, {"annuli": 4, "subsections": 3})],
)
def test_error_is_the_scatter_far_from_the_star(count, brightness, region):
    far = (radius() > 28) & (radius() < 46)
    ratios = []
    for seed in range(2, 5):
        target = cube(4, seed=seed, brightness=brightness)
        refs = cube(count, seed=seed + 10)
        refs_err = np.full(refs.shape, NOISE)
        made = Library(refs, refs_err, KlipOptions(**region), center=STAR)
        (result,) = made.subtract(target, np.full(target.shape, NOISE))
        assert np.isfinite(result.err).all()
        ratios.append(np.sqrt(np.mean((result.data / result.err)[:, far] ** 2)))
    assert 0.9 < np.mean(ratios) < 1.1


@pytest.mark.parametrize("truncate", [1, 3, 50])
def test_error_near_the_star_knows_of_the_speckles(truncate):
    near = radius() < 12
    plain, known = [], []
    for seed in range(2, 6):
        target, refs = cube(2, seed=seed, drift=0.3), cube(12, seed=seed + 10, drift=0.3)
        made = Library(refs, np.full(refs.shape, NOISE), KlipOptions(truncate=truncate))
        (result,) = made.subtract(target, np.full(target.shape, NOISE))
        plain.append(np.std(result.data[:, near]) / NOISE)
        known.append(np.sqrt(np.mean((result.data / result.err)[:, near] ** 2)))
    assert np.mean(plain) > 2
    assert 0.7 < np.mean(known) < 1.4


def test_references_of_one_exposure_are_left_out_together():
    # Integrations of one exposure predict each other far better than they do the target.
    rng = np.random.default_rng(3)
    exposures = np.repeat(cube(4, drift=0.3, noise=0), 3, axis=0)
    refs = exposures + 0.05 * rng.standard_normal(exposures.shape)
    target = cube(1, seed=9, drift=0.3, noise=0.05)
    err = np.full(refs.shape, 0.05)
    apart = Library(refs, err).subtract(target, err[:1])[0]
    together = Library(refs, err, groups=[0] * 3 + [1] * 3 + [2] * 3 + [3] * 3).subtract(
        target, err[:1]
    )[0]
    near = radius() < 10
    seen = np.std(together.data[0][near])
    assert np.sqrt(np.mean(apart.err[0][near] ** 2)) < 0.4 * seen
    assert 0.6 * seen < np.sqrt(np.mean(together.err[0][near] ** 2)) < 1.8 * seen


def test_symmetric_speckles_go_and_companions_stay():
    rng = np.random.default_rng(6)
    field = gaussian_filter(rng.standard_normal(SHAPE), 1.7)
    even = 20 * (field + turn(field[None], STAR)[0]) * np.exp(-radius() / 10)
    odd = 0.1 * rng.standard_normal(SHAPE)
    y, x = np.indices(SHAPE)
    planet = 15 * np.exp(-((x - 57) ** 2 + (y - 52) ** 2) / 6)
    image = even + odd + planet
    part, share = symmetric_part(image, STAR)
    rest = image - part
    near = (radius() > 4) & (radius() < 14)
    away = near & (np.hypot(x - 57, y - 52) > 4) & (np.hypot(x - 37, y - 44) > 4)
    assert rest[away].std() < 0.65 * even[away].std()
    assert (rest * planet).sum() / (planet**2).sum() == pytest.approx(1, abs=0.1)
    hole = part[40:49, 33:42].max()
    assert hole < 0.3 * planet.max()
    assert np.median(share[near]) > 0.6
    assert share.max() <= 1


def test_symmetry_is_of_what_the_library_leaves():
    err = np.full(TARGET.shape, NOISE)
    plain, even = (
        Library(
            REFERENCES,
            np.full(REFERENCES.shape, NOISE),
            KlipOptions(symmetry=symmetry),
            center=STAR,
        ).subtract(TARGET, err)[0]
        for symmetry in (False, True)
    )
    part, _ = symmetric_part(plain.data.mean(axis=0), STAR)
    assert_allclose(even.data, plain.data - part)
    far = (radius() > 25) & (radius() < 44)
    assert even.data[:, far].std() / np.sqrt((even.err[:, far] ** 2).mean()) == pytest.approx(
        1, abs=0.1
    )


def test_errors_with_one_reference_and_none_without_errors():
    (result,) = Library(REFERENCES[:1], np.full(REFERENCES[:1].shape, NOISE)).subtract(
        TARGET, np.full(TARGET.shape, NOISE)
    )
    assert_allclose(np.median(result.err), NOISE * np.sqrt(5), rtol=0.02)
    assert Library(REFERENCES).subtract(TARGET, np.ones(TARGET.shape))[0].err is None


# --- strategies ----------------------------------------------------------------------------------


def test_libraries():
    others = [(7, 10.2), (8, 0.3)]
    assert library("RDI", 0.0, [1, 2], others) == [1, 2]
    assert library("ADI", 0.0, [1, 2], others) == [7]
    assert library("ADI+RDI", 0.0, [1, 2], others) == [7, 1, 2]
    with pytest.raises(InputError, match="no references for ADI"):
        library("ADI", 0.0, [1, 2], others[1:])
    with pytest.raises(InputError, match="one of RDI"):
        library("SDI", 0.0, [1], others)


def test_a_companion_survives_every_strategy():
    y, x = np.indices(SHAPE)
    places = [(65.0, 50.0), (62.0, 59.0)]
    clean = [cube(2, seed=1), cube(2, seed=2)]
    cubes = [
        c + 30 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 4)
        for c, (px, py) in zip(clean, places, strict=True)
    ]
    cubes[1] = fourier_shift(cubes[1], np.full((2, 2), (0.2, -0.1)))
    centers = [STAR, np.add(STAR, (0.2, -0.1))]
    errors = [np.full(c.shape, NOISE) for c in cubes]
    for strategy in ("RDI", "ADI", "ADI+RDI"):
        images = REFERENCES, fourier_shift(REFERENCES, np.full((12, 2), (0.2, -0.1)))
        known = zip((0.0, 30.0), centers, images, strict=True)
        rolls = [Roll(*each, np.full(REFERENCES.shape, NOISE)) for each in known]
        reduce = reduction(rolls, KlipOptions(strategy=strategy, outer_radius=np.inf))
        first, second = reduce(cubes, errors)
        assert first[0].err is not None
        assert 20 < first[0].data[0, 50, 65] < 32
        assert 20 < second[0].data[0, 59, 62] < 32
        # the other roll's companion is subtracted where it is not
        assert (first[0].data[0, 59, 62] < -5) == (strategy == "ADI")
    (alone,) = Library(REFERENCES).subtract(cubes[0])
    rolls = [Roll(angle, STAR, REFERENCES) for angle in (0.0, 30.0)]
    rdi = reduction(rolls, KlipOptions(outer_radius=np.inf))
    for _ in range(2):
        assert_array_equal(rdi(cubes)[0][0].data, alone.data)


def test_search_region():
    dq = np.zeros((2, 4, 4), np.uint32)
    dq[1, 2, 3] = NON_SCIENCE | 1
    dq[0, 0, 0] = 1
    region = search_region(dq)
    assert not region[2, 3]
    assert region.sum() == 15
    ring = search_region(dq, (0.0, 1.0), 1.0, 2.0)
    assert_array_equal(np.argwhere(~ring[:, 0]).ravel(), [1])
    assert ring[1, 2]
    assert not ring[1, 3]


# --- the sky -------------------------------------------------------------------------------------


def test_the_frame_is_centred_on_the_star_by_its_wcs(tmp_path):
    path = write(preset("nircam-f356w", npix=64), tmp_path)
    exposure = sorted(path.parent.glob("*_cal.fits"))[0]
    geometry = read_geometry(exposure)
    ra, dec = star_position(geometry, (30.3, 35.1))
    assert_allclose(star_position(geometry, (30.3, 35.1)), (ra, dec))
    wanted = ra + 2e-4, dec - 1e-4
    centred = geometry.corrected(star_correction(geometry, (30.3, 35.1), *wanted))
    assert_allclose(star_position(centred, (30.3, 35.1)), wanted, atol=1e-10)
    assert replace(centred, ra=geometry.ra, dec=geometry.dec).shape == geometry.shape


# --- real data -----------------------------------------------------------------------------------


def test_disc_of_au_mic_is_seen_on_both_sides(real_data: Path):
    paths = sorted((real_data / "aumic_f356w").glob("*_calints.fits"))
    cubes = [read_cube(path) for path in paths]
    mended = [repair_pixels(*c) for c in cubes]
    target, err, bad = mended[0]
    refs, refs_err, refs_bad = (np.concatenate([m[i] for m in mended[2:]]) for i in range(3))
    dq = np.concatenate([c.dq for c in cubes[2:]])
    aligned = align(
        target[0], refs, refs_err, dq, disc(refs.shape[1:], (150, 174)), good=~bad[0], bad=refs_bad
    )
    assert np.abs(aligned.shifts).max() < 0.1
    (result,) = Library(aligned.data, aligned.err).subtract(target, err)
    y, x = np.indices(result.data.shape[1:])
    along = np.radians(-26)
    dx, dy = x - 150, y - 174
    u, v = dx * np.cos(along) + dy * np.sin(along), dy * np.cos(along) - dx * np.sin(along)
    for side in (1, -1):
        reach = (side * u > 20) & (side * u < 45)
        on, off = (result.data[0][reach & w] for w in (np.abs(v) < 3, np.abs(v) > 15))
        assert on.mean() > 5 * np.abs(off[np.isfinite(off)]).mean()
    assert np.isfinite(result.err).all()
