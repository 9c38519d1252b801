r"""Align ten detectors that are not quite in their places, with pixels; and score it.

    PYTHONPATH=lib python benchmarks/placements.py FOLDER [--seed N | --one]
    $JWST_PYTHON benchmarks/run_jwst.py FOLDER/short/*_asn.json FOLDER/jwst --references . \
        --steps tweakreg

Placements are 1.5 mas off, pointings 80 mas (`snakewebb.simulate.model.Observation`). The second
command makes what the first one, once more, scores beside ours. With ``--one`` FOLDER is one that
``python -m snakewebb.simulate`` wrote.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from snakewebb.jobs import find_sources, solve_field
from snakewebb.simulate import observation
from snakewebb.simulate.alignment_scores import rigid_design, rms, without_rigid
from snakewebb.simulate.detections import NIRCAM
from snakewebb.simulate.model import Observation
from snakewebb.wcs.exposure import Exposure
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.gwcs_library import read_wcs
from snakewebb.wcs.sphere import to_plane


def score(folder: Path, seed: int) -> None:
    """Simulate exposures, if they are not there, align them, and score.

    What jwst has made of the association of F200W, ``*_tweakreg.fits`` in ``jwst`` of the folder,
    is scored beside it.
    """
    known, truths = {}, {}
    for name, own in placed_observations(seed).items():
        if not (folder / name).exists():
            observation.write(own, folder / name)
        known[name], true = read(folder / name)
        truths |= true
    field = [exposure for each in known.values() for exposure in each]
    for label, exposures, adjustment in (
        ("F200W rigid", known["short"], "rigid"),
        ("F200W network", known["short"], "network"),
        ("field of ten detectors, rigid", field, "rigid"),
        ("field of ten detectors, network", field, "network"),
    ):
        print(label, *align_and_score(exposures, truths, adjustment))
    made = {p.name.rpartition("_")[0]: p for p in (folder / "jwst").glob("*_tweakreg.fits")}
    if made:
        corrected = {n: corners_of(read_wcs(path)) for n, path in made.items()}
        used = [e for e in known["short"] if e.name in made]
        print("F200W jwst", *scores_of_pixels(corrected, truths, used, None))


def score_one(folder: Path) -> None:
    """Score the alignment of a simulated observation."""
    exposures, truths = read(folder)
    for adjustment in ("rigid", "network"):
        print(adjustment, *align_and_score(exposures, truths, adjustment))


def read(folder: Path) -> tuple[list[Exposure], dict[str, tuple[Correction, object]]]:
    """Find the stars of simulated exposures, if that was not done; return these and the truth."""
    exposures, truths = [], {}
    for path in sorted(folder.glob("*_cal.fits")):
        facts = path.with_suffix(".json")
        if not facts.exists():
            find_sources.describe_exposure(path, facts)
        exposures.append(Exposure.read(facts))
        name = exposures[-1].name
        truth = json.loads((folder / "truth" / f"{name}.json").read_text())
        truths[name] = Correction.from_dict(truth["pointing"]), read_wcs(path)
    return exposures, truths


def align_and_score(exposures, truths, adjustment: str) -> list[str]:
    """Align, and return the scores."""
    found = solve_field.solve(exposures, {"adjustment": adjustment}).exposures
    told = [found[e.name].error for e in exposures]
    corrected = {e.name: corners_of(truths[e.name][1]) for e in exposures}
    for name, sky in corrected.items():
        if correction := found[name].correction:
            corrected[name] = correction.apply(*sky)
    return scores_of_pixels(corrected, truths, exposures, told)


def placed_observations(seed: int) -> dict[str, Observation]:
    """Return what is observed: two filters at once, dithered so that all detectors overlap."""
    small, large = ((0, 0), (6, 4), (-5, 7)), ((0, 0), (68, 3), (2, 67), (108, 2))
    steps = tuple((x + dx, y + dy) for x, y in large for dx, dy in small)
    short = Observation(
        detectors=tuple(name for name in NIRCAM if not name.endswith("LONG")),
        filter="F200W",
        dithers=steps,
        npix=700,
        stars=120,
        galaxies=10,
        cosmic_ray_rate=100.0,
        pointing_error=80.0,
        placement_error=1.5,
        seed=seed,
    )
    frames = [f for each in observation.believed_frames(short) for f in each]
    short = replace(short, sources=observation.random_sources(short, frames))
    long = replace(short, detectors=("NRCALONG", "NRCBLONG"), filter="F356W")
    return {"short": short, "long": long}


def corners_of(wcs) -> np.ndarray:
    """Return RA and Dec of the middle and the corners of an image, (2, 5)."""
    (left, right), (low, high) = wcs.bounding_box.bounding_box(order="F")
    middle = (left + right) / 2, (low + high) / 2
    x, y = np.array([middle, (left, low), (right, low), (right, high), (left, high)]).T
    return np.array(wcs(x, y, with_bounding_box=False))


def scores_of_pixels(corrected, truths, exposures, told) -> list[str]:
    """Return rms errors within exposures and among all, mas, and how they compare with those told.

    The latter are errors of middles beside what the first exposure has as a whole.
    """
    names = [exposure.name for exposure in exposures]
    plane = truths[names[0]][0].ra0, truths[names[0]][0].dec0
    true = [truths[n][0].apply(*corners_of(truths[n][1])) for n in names]
    points, places = (
        np.stack([np.stack(to_plane(*sky, *plane), -1) for sky in each])
        for each in (true, [corrected[n] for n in names])
    )
    errors = 1000 * (places - points)
    groups = np.array([exposure.header.group_id for exposure in exposures])
    own = [without_rigid(errors[groups == g], points[groups == g]) for g in np.unique(groups)]
    figures = rms(np.concatenate(own)), rms(without_rigid(errors, points))
    words = [f"within exposures {figures[0]:.3f} mas, among all {figures[1]:.3f}"]
    if told and all(error is not None for error in told):
        first = groups == groups[0]
        about = points[first].reshape(-1, 2).mean(axis=0)
        design = rigid_design(points[first], about)
        frame = np.linalg.lstsq(design, errors[first].reshape(-1), rcond=None)[0]
        rest = (errors - (rigid_design(points, about) @ frame).reshape(errors.shape))[~first, 0]
        words.append(f", error over told {rms(rest / np.array(told)[~first, None]):.2f}")
    return words


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", action="store_true", help="score one observation")
    options = parser.parse_args()
    score_one(options.folder) if options.one else score(options.folder, options.seed)
