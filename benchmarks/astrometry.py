"""Measure the joint adjustment on simulated detections, beside rigid groups.

    PYTHONPATH=lib python benchmarks/astrometry.py PART [--seeds N]

PART is one of field, pulls, few, absolute, crowded, time, scale, export. What each measures stands
in the functions below; detections have no pixels (`snakewebb.simulate.detections`).
"""

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table

from snakewebb.astrometry.equations import Equations, State
from snakewebb.astrometry.joint import Network
from snakewebb.astrometry.options import AbsoluteMatching, Matching
from snakewebb.astrometry.tweakreg import align
from snakewebb.astrometry.unknowns import Measurements
from snakewebb.simulate import apertures, scene
from snakewebb.simulate.alignment_scores import (
    PLANE,
    between_detectors,
    between_epochs,
    errors_of,
    gaia,
    places,
    relative,
    rigid_design,
    rms,
    without_rigid,
)
from snakewebb.simulate.detections import NIRCAM, Seen, Survey, observe
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import to_plane

STILL = Correction(*PLANE, ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
DITHERS = ((0, 0), (6, 4), (-5, 7), (30, -20), (-40, 25), (62, 3))
TWO_EPOCHS = {
    "dithers": tuple((d, k) for k in (0, 1) for d in DITHERS),
    "epochs": ((2022.6, 47.0, 0.99991), (2023.1, 227.0, 1.00009)),
}
ONE_EPOCH = {"dithers": tuple((d, 0) for d in DITHERS)}
NEAR = AbsoluteMatching(searchrad=1.0)


def photon_bound(seen: Seen, survey: Survey) -> float:
    """Return the least `relative` error: stars are known apart, noise and prior are as they are."""
    names = list(seen.catalogs)
    groups = np.unique(list(seen.groups.values()), return_inverse=True)[1]
    frames = [replace(f, placement_error=survey.placement) for f in seen.frames.values()]
    network = Network(frames, groups, PLANE, True)
    exposures = np.arange(len(names))
    part = network._part(exposures, sorted(set(groups.tolist())))
    prior = network._prior(part, exposures, groups.max() + 1, 2.0, None)
    columns = {
        key: np.concatenate([seen.catalogs[name][key] for name in names])
        for key in ("RA", "DEC", "error", "star")
    }
    order = np.argsort(columns["star"], kind="stable")
    exposure = np.repeat(exposures, [len(seen.catalogs[name]["RA"]) for name in names])[order]
    star = np.unique(columns["star"][order], return_inverse=True)[1]
    points = np.stack(to_plane(columns["RA"], columns["DEC"], *PLANE), -1)[order]
    variance = columns["error"][order] ** 2 + (survey.floor / 1000) ** 2
    work = Equations(Measurements(points, variance, exposure, star), part, prior)
    state = State(
        np.zeros_like(prior.pose_mean),
        np.zeros_like(prior.placement_sigma),
        np.zeros(part.noise.max() + 1),
        work.tied.astype(float),
        np.zeros(0),
    )
    solved = work.step(state)[0]
    inverse = np.array([solved.solve(row) for row in np.eye(work.free.sum())])
    spots, slopes = places(seen), []
    n_poses = prior.pose_mean.size
    for e in exposures:
        slope = np.zeros((10, work.free.size))
        slope[:, 3 * groups[e] : 3 * groups[e] + 3] = rigid_design(spots[e], prior.pivot[groups[e]])
        column = n_poses + 3 * part.placement[e]
        slope[:, column : column + 2] = np.tile(part.axes[e], (5, 1))
        slope[:, column + 2] = rigid_design(spots[e], part.centre[e])[:, 2]
        slopes.append(slope)
    whole, design = np.concatenate(slopes)[:, work.free], rigid_design(spots)
    whole = whole - design @ np.linalg.lstsq(design, whole, rcond=None)[0]
    return 1000 * float(np.sqrt(np.mean(np.einsum("ai,ij,aj->a", whole, inverse, whole))))


def field(seeds: int) -> None:
    """Ten detectors, two epochs with opposite aberration; and one epoch."""
    for label, settings in (("two epochs", TWO_EPOCHS), ("one epoch", ONE_EPOCH)):
        rows = []
        for seed in range(seeds):
            survey = Survey(**settings, seed=seed, outliers=0.02)
            seen = observe(survey)
            found = [align(seen.catalogs, seen.groups, frames=f) for f in (None, seen.frames)]
            row = [f(seen, a) for a in found for f in (between_detectors, relative)]
            if label == "two epochs":
                row += [between_epochs(seen, a) for a in found]
            else:
                row += [photon_bound(seen, survey)]
            rows.append(row)
        told = np.sqrt(np.mean(np.square(rows), axis=0)).round(3).tolist()
        print(label, "between detectors, relative: rigid", told[:2], "network", told[2:4])
        print("    between epochs, rigid, network:" if len(told) > 5 else "    bound:", told[4:])


def pulls(seeds: int) -> None:
    """Errors over the errors that are told: of exposures, detectors, and the catalogue's stars."""
    own, absolute, placed, known, chi = [], [], [], [], []
    for seed in range(seeds):
        survey = Survey(
            dithers=tuple((d, 0) for d in DITHERS[:4]),
            detectors=("NRCA1", "NRCA2", "NRCALONG", "NRCB1"),
            placement=2.0,
            density=0.03,
            seed=seed,
        )
        seen = observe(survey)
        found = align(seen.catalogs, seen.groups, frames=seen.frames)
        errors, points = errors_of(seen, found), places(seen)
        first = np.array([g == "group00000" for g in seen.groups.values()])
        middle = points[first].reshape(-1, 2).mean(axis=0)
        frame = np.linalg.lstsq(
            rigid_design(points[first], middle), errors[first].reshape(-1), rcond=None
        )[0]
        errors = errors - (rigid_design(points, middle) @ frame).reshape(errors.shape)
        told = np.array([q.error for q in found.exposures.values()])
        own.append((errors[:, 0] / told[:, None])[rng_pick(seed, len(told))])
        chi.append(found.network[0]["chi_square"] / found.network[0]["freedom"])
        for note in found.network[0]["placements"]:
            true = 1000 * seen.placements[note["name"].split()[0]][:2]
            placed.append((np.array([note["v2"], note["v3"]]) - true) / note["error"])
        stars = gaia(seen, np.random.default_rng(seed))
        found = align(
            seen.catalogs, seen.groups, reference=stars, absolute=NEAR, frames=seen.frames
        )
        told = np.array([q.error for q in found.exposures.values()])
        off = errors_of(seen, found)[:, 0]
        absolute.append((off / told[:, None])[rng_pick(seed, len(told))])
        known.append(found.network[-1]["reference_pull"])
    print("pulls: exposures among each other", round(rms(own), 3), "on the sky",
          round(rms(absolute), 3), "placements", round(rms(placed), 3),
          "catalogue", round(rms(known), 3), "chi²", round(float(np.mean(chi)), 3))  # fmt: skip


def rng_pick(seed: int, n: int) -> np.ndarray:
    """Choose a few exposures of a field, whose errors are not those of each other."""
    return np.random.default_rng(seed).permutation(n)[:4]


def few(seeds: int) -> None:
    """Fields with few stars that all exposures see."""
    for number in (3, 5, 10, 30):
        squares = np.zeros(2)
        for seed in range(seeds):
            survey = Survey(
                dithers=tuple((d, 0) for d in ((0, 0), (3, 2), (-2, 4), (5, -3))),
                detectors=("NRCA1", "NRCA3"),
                density=0.02,
                seed=seed,
            )
            seen = observe(survey)
            rng, kept = np.random.default_rng(seed), {}
            for detector in ("nrca1", "nrca3"):
                names = [name for name in seen.catalogs if name.endswith(detector)]
                all_see = set.intersection(*(set(seen.catalogs[n]["star"]) for n in names))
                chosen = rng.permutation(sorted(all_see))[:number]
                for name in names:
                    own = np.isin(seen.catalogs[name]["star"], chosen)
                    kept[name] = {k: column[own] for k, column in seen.catalogs[name].items()}
            kept = {name: kept[name] for name in seen.catalogs}
            how = Matching(minobj=3, separation=0.2, tolerance=0.1)
            for k, frames in enumerate((None, seen.frames)):
                squares[k] += relative(seen, align(kept, seen.groups, how, frames=frames)) ** 2
        print(number, "common stars: rigid, network", np.sqrt(squares / seeds).round(3).tolist())


def absolute(seeds: int) -> None:
    """On the sky, beside what the catalogue's stars allow; and with five stars."""
    rows, small = [], []
    for seed in range(seeds):
        seen = observe(Survey(**TWO_EPOCHS, seed=seed, outliers=0.02))
        stars = gaia(seen, np.random.default_rng(seed))
        frames = seen.frames
        found = align(seen.catalogs, seen.groups, reference=stars, absolute=NEAR, frames=frames)
        off = errors_of(seen, found)[:, 0]
        told = [q.error for q in found.exposures.values()]
        rigid = align(seen.catalogs, seen.groups, reference=stars, absolute=NEAR)
        rows.append([rms(errors_of(seen, rigid)[:, 0]), rms(off), rms(told), len(stars["RA"])])
        rng = np.random.default_rng(seed)
        measured = np.unique(np.concatenate([c["star"] for c in seen.catalogs.values()]))
        bright = np.flatnonzero(seen.stars["magnitude"] < 21.0)
        chosen = rng.permutation(np.flatnonzero(np.isin(bright, measured)))[:5]
        five = {key: column[chosen] for key, column in stars.items()}
        how = replace(NEAR, minobj=5)
        found = align(seen.catalogs, seen.groups, reference=five, absolute=how, frames=frames)
        if {g.absolute for g in found.groups} == {"COMPLETE"}:
            told = [q.error for q in found.exposures.values()]
            small.append([rms(errors_of(seen, found)[:, 0]), rms(told)])
    print("on the sky: motions ignored, network, told, stars:",
          np.sqrt(np.mean(np.square(rows), axis=0)).round(3).tolist())  # fmt: skip
    print(f"five stars ({len(small)} of {seeds}): error, told",
          np.sqrt(np.mean(np.square(small), axis=0)).round(3).tolist())  # fmt: skip


def crowded(seeds: int) -> None:
    """Twenty thousand stars, of which each detector finds many."""
    wrong = 0
    worst = 0.0
    for seed in range(seeds):
        survey = Survey(
            dithers=tuple((d, 0) for d in DITHERS[:4]),
            detectors=("NRCA1", "NRCALONG"),
            density=1.2,
            brightest=2000,
            pointing=300.0,
            roll=0.03,
            seed=seed,
        )
        seen = observe(survey)
        found = align(
            seen.catalogs, seen.groups, Matching(separation=0.3, tolerance=0.2), frames=seen.frames
        )
        error = relative(seen, found)
        complete = all(g.relative == "COMPLETE" for g in found.groups)
        wrong += complete and error > 5.0
        worst = max(worst, error)
    print(
        f"crowded: {wrong} false of {seeds}; worst {worst:.3f} mas; {len(seen.stars['RA'])} stars"
    )


def timing(seeds: int) -> None:
    """CPU time of 24 exposures of one detector, and of 24 of ten detectors, without reading."""
    grid = tuple(((60.0 * i, 60.0 * j), 0) for i in range(6) for j in range(4))
    for detectors in (("NRCALONG",), NIRCAM):
        seen = observe(Survey(dithers=grid, detectors=detectors))
        for label, frames in (("rigid", None), ("network", seen.frames)):
            took = []
            for _ in range(seeds):
                start = time.process_time()
                align(seen.catalogs, seen.groups, frames=frames)
                took.append(time.process_time() - start)
            print(len(seen.catalogs), "exposures", label, f"{min(took):.3f} s")


def scale(seeds: int) -> None:
    """Many exposures: time and memory of the whole of `align`."""
    for side in (6, 12, 18):
        tiles = ((100.0 * i, 140.0 * j) for i in range(2 * side) for j in range(side))
        grid = tuple(((x + dx, y + dy), 0) for x, y in tiles for dx, dy in DITHERS[:2])
        seen = observe(Survey(dithers=grid, density=0.02, brightest=100))
        for label, frames in (("rigid", None), ("network", seen.frames)):
            start = time.process_time()
            found = align(seen.catalogs, seen.groups, frames=frames)
            took = time.process_time() - start
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            n = sum(len(c["RA"]) for c in seen.catalogs.values())
            print(
                f"{len(seen.catalogs)} exposures, {n} detections, {label}: {took:.1f} s, ", end=""
            )
            print(f"{most:.2f} GB, relative {relative(seen, found):.3f} mas", flush=True)


def export(folder: Path) -> None:
    """Write a field for `run_jwst_tweakreg.py`; score what it wrote, if it did."""
    seen = observe(Survey(**TWO_EPOCHS))
    names, entries = list(seen.catalogs), []
    for file in sorted(folder.glob("jwst_*.json")):
        found = json.loads(file.read_text())
        errors = seen.errors_of_places({name: np.array(found[name]) for name in names})
        own = np.array([errors[name] for name in names])
        print(file.stem, "between detectors, relative:", scores(seen, own))
    for label, frames in (("rigid", None), ("network", seen.frames)):
        found = align(seen.catalogs, seen.groups, frames=frames)
        print(label, "between detectors, relative:", scores(seen, errors_of(seen, found)))
    folder.mkdir(exist_ok=True)
    for name in names:
        frame, own = seen.frames[name], seen.exposures[name]
        row = apertures.imaging_aperture(frame.detector)
        wcs = apertures.make_wcs(
            row, own["wcsinfo"], start=(1, 1), size=(2048, 2048), va_scale=own["va_scale"],
            pivot=own["pivot"],
        )  # fmt: skip
        catalog = seen.catalogs[name]
        index, x, y, _ = scene.locate(wcs, (2048, 2048), catalog["RA"], catalog["DEC"], STILL, -2)
        Table({"x": x, "y": y, "flux": catalog["flux"][index]}).write(
            folder / f"{name}.ecsv", overwrite=True
        )
        ra, dec = seen.believed[name].T
        _, x, y, _ = scene.locate(wcs, (2048, 2048), ra, dec, STILL, 500)
        spots = np.stack((x, y), -1).tolist()
        entry = {"name": name, "detector": frame.detector, "group": seen.groups[name]}
        entries.append(entry | own | {"spots": spots})
    (folder / "exposures.json").write_text(json.dumps(entries))


def scores(seen: Seen, errors: np.ndarray) -> list[float]:
    """Return rms errors within exposures, and among all, without what is common, mas."""
    points, groups = places(seen), np.array(list(seen.groups.values()))
    own = [without_rigid(errors[groups == g], points[groups == g]) for g in np.unique(groups)]
    return [round(rms(np.concatenate(own)), 3), round(rms(without_rigid(errors, points)), 3)]


PARTS = {
    "field": field,
    "pulls": pulls,
    "few": few,
    "absolute": absolute,
    "crowded": crowded,
    "time": timing,
    "scale": scale,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=[*PARTS, "export"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("bench/astrometry"))
    arguments = parser.parse_args()
    if arguments.part == "export":
        export(arguments.folder)
    else:
        PARTS[arguments.part](arguments.seeds)
