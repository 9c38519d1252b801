"""Several filters of the same pointings, aligned in one adjustment."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from snakewebb.astrometry.alignment import AlignmentResult, Solution
from snakewebb.jobs.align import align_product
from snakewebb.jobs.find_sources import describe_exposure
from snakewebb.jobs.solve_field import groups_of, solve_field
from snakewebb.simulate.observation import believed_frames, random_sources, write
from snakewebb.simulate.presets import preset
from snakewebb.wcs.exposure import Exposure
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import to_plane


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Facts of a long and a short filter seen at once, by product; folders of their truth."""
    long = replace(preset("nircam-f356w", npix=500), dithers=preset("nircam-f356w").dithers[:3])
    long = replace(long, stars=40, galaxies=0, cosmic_ray_rate=0.0)
    short = replace(long, detectors=("NRCA1", "NRCA3"), filter="F200W", npix=700)
    frames = [frame for frames in believed_frames(replace(short, npix=None)) for frame in frames]
    sources = random_sources(replace(short, stars=400), frames)
    facts, folders = {}, {}
    for name, observation in (("long", long), ("short", short)):
        folder = tmp_path_factory.mktemp(name)
        write(replace(observation, sources=sources), folder)
        facts[name] = []
        for path in sorted(folder.glob("*_cal.fits")):
            facts[name].append(folder / f"{path.stem}.json")
            describe_exposure(path, facts[name][-1], step={"bkg_boxsize": 100})
            folders[facts[name][-1]] = folder
    return facts, folders


def placed(path, folder, correction):
    """By how much an exposure's nodes are off, mas."""
    known = Exposure.read(path)
    truth = json.loads((folder / "truth" / f"{known.name}.json").read_text())["pointing"]
    true = Correction.from_dict(truth)
    geometry = known.geometry.corrected(correction)
    here = np.stack(to_plane(geometry.ra, geometry.dec, true.ra0, true.dec0), -1)
    sky = true.apply(known.geometry.ra, known.geometry.dec)
    return 1000 * (here - np.stack(to_plane(*sky, true.ra0, true.dec0), -1)).reshape(-1, 2)


def starve(facts, target, keep):
    """Leave an exposure a few of its stars."""
    known = Exposure.read(facts)
    sources = {key: np.asarray(column)[:keep].tolist() for key, column in known.sources.items()}
    replace(known, sources=sources).write(target)
    return target


def test_a_filter_with_few_stars_has_its_attitude_from_the_other(simulated, tmp_path):
    facts, folders = simulated
    few = [starve(path, tmp_path / path.name, 4) for path in facts["short"]]
    solve_field([*facts["long"], *few], tmp_path / "field.json")
    found = Solution.read(tmp_path / "field.json")
    groups = {entry.group for entry in found.exposures.values()}
    assert len(groups) == 3
    assert {entry.status for entry in found.exposures.values()} == {"COMPLETE"}
    offs = [
        placed(own, folders[path], found.exposures[Exposure.read(path).name].correction)
        for path, own in zip(facts["short"], few, strict=True)
    ]
    relative = np.array([off.mean(axis=0) for off in offs])
    relative -= relative.mean(axis=0)
    assert np.sqrt(np.mean(relative**2)) < 1.0
    alone = tmp_path / "alone.json"
    align_product(few, alone, tmp_path / "alone.zip")
    assert {e.status for e in AlignmentResult.read(alone).exposures.values()} == {"FAILED"}


def test_a_product_alone_is_a_field_of_one(simulated, tmp_path):
    facts, _ = simulated
    alone, field = tmp_path / "alone.json", tmp_path / "field.json"
    align_product(facts["long"], alone, tmp_path / "alone.zip")
    solve_field(facts["long"], field)
    whole = tmp_path / "whole.json"
    align_product(facts["long"], whole, tmp_path / "whole.zip", field=field)
    assert alone.read_bytes() == whole.read_bytes()


def test_products_of_a_field_lie_in_one_frame(simulated, tmp_path):
    facts, folders = simulated
    solve_field([*facts["long"], *facts["short"]], tmp_path / "field.json")
    found = Solution.read(tmp_path / "field.json")
    offs = {}
    for name, paths in facts.items():
        corrections = [found.exposures[Exposure.read(path).name].correction for path in paths]
        each = [placed(p, folders[p], c) for p, c in zip(paths, corrections, strict=True)]
        offs[name] = np.mean(each, axis=(0, 1))
    assert np.abs(offs["long"] - offs["short"]).max() < 2.0
    (notes,) = found.network
    assert [p["name"] for p in notes["placements"]] == [
        "NRCALONG F356W CLEAR",
        "NRCA1 F200W CLEAR",
        "NRCA3 F200W CLEAR",
    ]


def test_exposures_of_several_visits_have_groups_of_their_own():
    """Names of groups are numbers within a visit: those of two visits may be alike."""

    def seen(name, group, visit):
        return SimpleNamespace(name=name, header=SimpleNamespace(group_id=group, visit=visit))

    known = [seen("a", "02101_00001", "v1"), seen("b", "02101_00001", "v1")]
    assert groups_of(known) == {"a": "02101_00001", "b": "02101_00001"}
    known += [seen("c", "02101_00001", "v2"), seen("d", "02101_00002", "v2")]
    assert groups_of(known) == {
        "a": "02101_00001 of visit v1",
        "b": "02101_00001 of visit v1",
        "c": "02101_00001 of visit v2",
        "d": "02101_00002",
    }
