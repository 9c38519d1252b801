"""The grid of a field: that of all of its exposures, in a file."""

from dataclasses import replace

import numpy as np
import pytest

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.errors import InputError
from snakewebb.jobs.align import align_product
from snakewebb.jobs.field_grid import lay_out_field
from snakewebb.jobs.find_sources import describe_exposure
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset
from snakewebb.wcs.exposure import open_exposures
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.output_wcs import read_grid


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """What align writes of two filters of one sky, and of one elsewhere, by product."""
    long = replace(preset("nircam-f356w", npix=200), stars=5, galaxies=0)
    long = replace(long, dithers=long.dithers[:2])
    made = {}
    for name, observation in {
        "long": long,
        "short": replace(long, detectors=("NRCA1",), filter="F200W", npix=300, ra=long.ra + 1e-3),
        "far": replace(long, dec=long.dec + 0.01),
        "between": replace(long, dec=long.dec + 0.005, npix=500),
    }.items():
        folder = tmp_path_factory.mktemp(name)
        write(observation, folder)
        facts = []
        for path in sorted(folder.glob("*_cal.fits")):
            facts.append(folder / f"{path.stem}.json")
            describe_exposure(path, facts[-1], step={"skip": True})
        made[name] = folder / "alignment.json", folder / "facts.zip"
        align_product(facts, *made[name], step={"tweakreg": {"skip": True}})
    return made


def laid_out(aligned, path, *products, **step):
    alignments, archives = zip(*(aligned[name] for name in products), strict=True)
    lay_out_field(alignments, archives, path, products=products, step=step)
    return read_grid(path, 0.0629 / 3600)


def test_it_is_that_of_all_exposures(aligned, tmp_path):
    geometries = {}
    for name in ("long", "short"):
        alignment, archive = aligned[name]
        with open_exposures(archive) as known:
            for exposure in AlignmentResult.read(alignment).layout.placements:
                geometries[name, exposure] = known(exposure).geometry
    found = laid_out(aligned, tmp_path / "grid.asdf", "long", "short", pixel_scale=0.03)
    expected = output_grid(geometries, pixel_scale=0.03)
    assert found.shape == expected.shape
    assert found.crval == pytest.approx(expected.crval, abs=1e-12)
    assert found.crpix == pytest.approx(expected.crpix, abs=1e-6)
    assert np.allclose(found.pc, expected.pc, rtol=0, atol=1e-10)
    assert found.cdelt * 3600 == pytest.approx(0.03, abs=1e-10)
    alone = laid_out(aligned, tmp_path / "alone.asdf", "long", pixel_scale=0.03)
    assert alone.shape[1] < found.shape[1]
    other = laid_out(aligned, tmp_path / "other.asdf", "short", "long", rotation=0.0)
    assert other.cdelt * 3600 == pytest.approx(0.031, abs=0.001), "of the first exposure"
    assert other.pc[0][1] == pytest.approx(0, abs=1e-10)


def test_products_overlap_or_are_connected_by_others(aligned, tmp_path):
    path = tmp_path / "grid.asdf"
    with pytest.raises(InputError, match="far: does not overlap with long or short: take it out"):
        laid_out(aligned, path, "long", "far", "short")
    assert not path.exists()
    together = laid_out(aligned, path, "long", "far", "between")
    assert min(together.shape) > 400
