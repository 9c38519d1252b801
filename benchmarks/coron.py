"""Score coron3 products, ours or jwst's, against the truth of a simulated observation.

    python benchmarks/coron.py PRODUCTS SIMULATED [--output FILE]

PRODUCTS is the folder that holds ``_crfints``, ``_psfalign``, ``_psfsub`` and ``_i2d``, SIMULATED
that which ``snakewebb.simulate`` has filled. The same code and the same definitions (README.md)
hold for both pipelines. Prints the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from stdatamodels.jwst import datamodels

from snakewebb.coronagraphy.combine import combiner, integrations, reducer
from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.injection import throughput
from snakewebb.coronagraphy.klip import KlipOptions
from snakewebb.coronagraphy.noise import CORE, Rings, flux_at, flux_map
from snakewebb.coronagraphy.psf import model_psf
from snakewebb.coronagraphy.reduction import Roll, reduction
from snakewebb.coronagraphy.repair import repair_pixels
from snakewebb.coronagraphy.scene import Scene as ContrastScene
from snakewebb.coronagraphy.stack_refs import read_cube
from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.io.planes import read_planes
from snakewebb.references.filters import FILTERS, STOPS

ANNULUS = 0.6, 0.9
"""Arcsec; where the residual contrast is quoted."""
EXCLUDED = 0.3
"""Arcsec round companions that are left out of all noise."""
WIDTH = 0.1
"""Half the width of the ring whose pixels are the noise at a companion, arcsec."""
FAR = 4.0
"""Arcsec from the star, beyond which noise is compared with ERR."""
BLOCK = 8
TURNS = 72, 144, 216, 288
"""Degrees from a companion to its twins, of which throughput is measured."""
KLIP = ("strategy", "truncate", "annuli", "subsections", "n_references", "symmetry")


class Image(NamedTuple):
    """An image, its errors, the star and companions on it (0-based x, y), arcsec a pixel."""

    data: np.ndarray
    err: np.ndarray
    star: np.ndarray
    companions: np.ndarray
    scale: float

    def radius(self, place: np.ndarray | None = None) -> np.ndarray:
        """Return the distance of pixels from a place, by default the star, arcsec."""
        x, y = self.star if place is None else place
        v, u = np.indices(self.data.shape)
        return np.hypot(u - x, v - y) * self.scale

    def ring(self, inner: float, outer: float) -> np.ndarray:
        """Return the values between two distances from the star, companions left out."""
        use = (self.radius() >= inner) & (self.radius() < outer) & np.isfinite(self.data)
        for place in self.companions:
            use &= self.radius(place) > EXCLUDED
        return self.data[use]


def residual(image: Image, peak: float) -> dict[str, float]:
    """Return the scatter in the annulus in units of the star's brightest pixel without mask."""
    values = image.ring(*ANNULUS) / peak
    mad = np.median(np.abs(values - np.median(values)))
    return {"std": float(values.std()), "mad": float(1.4826 * mad)}


def snr(image: Image, number: int, separation: float) -> float:
    """Return a companion's brightest pixel over the scatter of those on its ring."""
    ring = image.ring(separation - WIDTH, separation + WIDTH)
    near = image.radius(image.companions[number]) < 2 * image.scale
    return float((np.nanmax(image.data[near]) - ring.mean()) / ring.std())


def noise_over_err(image: Image, block: int) -> float:
    """Return the scatter of blocks far from star and companions over what ERR tells."""
    good = np.isfinite(image.data) & np.isfinite(image.err) & (image.radius() > FAR)
    for place in image.companions:
        good &= image.radius(place) > 3 * EXCLUDED
    ny, nx = (n // block * block for n in good.shape)

    def blocks(plane: np.ndarray) -> np.ndarray:
        return plane[:ny, :nx].reshape(ny // block, block, nx // block, block).swapaxes(1, 2)

    use = blocks(good).all(axis=(2, 3))
    mean = blocks(image.data)[use].mean(axis=(1, 2))
    err = np.sqrt((blocks(image.err)[use].astype(float) ** 2).mean(axis=(1, 2))) / block
    values = (mean - np.median(mean)) / err
    return float(1.4826 * np.median(np.abs(values)))


def cosmic_rays(folder: Path, simulated: Path) -> dict[str, float]:
    """Return recall by height over ERR, and precision, of the flags in all ``_crfints``."""
    found: dict[str, list[np.ndarray]] = {"5-10": [], "10-30": []}
    flagged = right = 0
    for path in sorted(folder.glob("*_crfints.fits")):
        name = path.name.rsplit("_", 2)[0]
        before = fits.getdata(simulated / f"{name}_calints.fits", "DQ")
        flags = (fits.getdata(path, "DQ") & BITS["OUTLIER"]) != 0
        flags &= (before & DO_NOT_USE) == 0
        rays = np.load(simulated / "truth" / f"{name}_cosmic_rays.npz")
        places = rays["integration"], rays["y"], rays["x"]
        struck = np.zeros(flags.shape, bool)
        struck[places] = True
        usable = (before[places] & DO_NOT_USE) == 0
        for label, values in found.items():
            low, high = map(float, label.split("-"))
            chosen = usable & (rays["significance"] >= low) & (rays["significance"] < high)
            values.append(flags[places][chosen])
        flagged += flags.sum()
        right += (flags & struck).sum()
    recall = {f"recall {label}": float(np.concatenate(v).mean()) for label, v in found.items()}
    return {**recall, "precision": float(right / flagged)}


class Scene:
    """What is true of a simulated observation, and the products made of it."""

    def __init__(self, folder: Path, simulated: Path) -> None:
        self.folder, self.simulated = folder, simulated
        (truth,) = simulated.glob("truth/*.json")
        self.truth = json.loads(truth.read_text())
        self.names = [n for n, e in self.truth["exposures"].items() if e["exptype"] == "science"]
        (self.transmission,) = (
            fits.getdata(path).astype(float) for path in simulated.glob("truth/*_throughput.fits")
        )
        with fits.open(simulated / f"{self.names[0]}_calints.fits") as hdus:
            area = hdus["SCI"].header["PIXAR_SR"]
        self.scale = float(np.degrees(np.sqrt(area)) * 3600)
        self.jansky = 1e6 * area
        self.flux = self.truth["star"]["flux"]
        self.peak = self.truth["unocculted_peak"] * self.flux / self.jansky

    def product(self, name: str, suffix: str) -> Path:
        """Return the path of an exposure's product."""
        (path,) = self.folder.glob(f"{name}_*_{suffix}.fits")
        return path

    def exposure(self, name: str) -> Image:
        """Return the mean of an exposure's integrations, and of their errors."""
        with fits.open(self.product(name, "psfsub")) as hdus:
            data = np.nanmean(np.ma.filled(hdus["SCI"].data, np.nan), axis=0)
            err = hdus["ERR"].data.mean(axis=0)
        facts = self.truth["exposures"][name]
        star = np.mean(facts["star"], axis=0)
        return Image(data, err, star, np.array(facts["companions"]), self.scale)

    def integrations(self, name: str) -> list[Image]:
        """Return an exposure's integrations."""
        mean = self.exposure(name)
        with fits.open(self.product(name, "psfsub")) as hdus:
            cubes = hdus["SCI"].data, hdus["ERR"].data
        return [mean._replace(data=data, err=err) for data, err in zip(*cubes, strict=True)]

    def combined(self) -> Image:
        """Return the combined image; the star is where the exposures' WCS say it is."""
        ra, dec = self.place()
        (path,) = self.folder.glob("*_i2d.fits")
        with fits.open(path) as hdus:
            wcs = WCS(hdus["SCI"].header)
            data, err = hdus["SCI"].data.astype(float), hdus["ERR"].data
        star = np.array(wcs.all_world2pix(ra, dec, 0), float)
        east, north = (
            np.array(wcs.all_world2pix(*place, 0)) - star
            for place in (
                (ra + 1 / 3600 / np.cos(np.radians(dec)), dec),
                (ra, dec + 1 / 3600),
            )
        )
        offsets = [
            c["separation"]
            * (
                np.sin(np.radians(c["position_angle"])) * east
                + np.cos(np.radians(c["position_angle"])) * north
            )
            for c in self.truth["companions"]
        ]
        return Image(data, err, star, star + np.array(offsets), self.scale)

    def klip(self) -> KlipOptions:
        """Return the parameters of the subtraction; jwst's are its defaults."""
        with datamodels.open(self.product(self.names[0], "psfsub")) as model:
            notes = (model.meta.instance.get("snakewebb") or {}).get("klip", {})
        known = {k: v for k, v in notes.get("parameters", {}).items() if k in KLIP}
        return KlipOptions(**known, outer_radius=np.inf)

    def throughput(self, psf: Any) -> dict[str, list[float]]:
        """Return what reduction and combination leave of the companions, done anew.

        "faint": of twins a tenth as bright, at other position angles; "own": of each where it
        is, which its removal tells.
        """
        stars = [self.exposure(name).star for name in self.names]
        cubes, references = [], []
        for name in self.names:
            cube = read_cube(self.product(name, "crfints"))
            cubes.append(repair_pixels(cube.data, cube.dq)[0])
            references.append(read_planes(self.product(name, "psfalign"), ("SCI",))["SCI"])
        layout, inputs = integrations([self.product(name, "psfsub") for name in self.names])
        firsts = np.cumsum([0, *(len(cube) for cube in cubes[:-1])])
        geometries = [inputs[first].pixel_map.geometry for first in firsts]
        angles = [self.truth["exposures"][name]["roll"] for name in self.names]
        rolls = [Roll(*each) for each in zip(angles, stars, references, strict=True)]
        subtract = reduction(rolls, self.klip())
        reduce = reducer(subtract, combiner(inputs), linear=self.klip().linear)
        frames = [Frame.of_exposure(*pair) for pair in zip(geometries, stars, strict=True)]
        scene = ContrastScene(cubes, frames, psf, layout.grid, tuple(self.place()))
        found: dict[str, list[float]] = {"faint": [], "own": []}
        for number, companion in enumerate(self.truth["companions"]):
            s, pa, flux = (companion[key] for key in ("separation", "position_angle", "flux"))
            twins = [(s, (pa + turn) % 360, flux / 10) for turn in TURNS]
            found["faint"].append(float(throughput(reduce, scene, twins).mean()))
            own = [(s, pa, -flux * self.transmitted(number))]
            found["own"].append(float(throughput(reduce, scene, own)[0, 0]))
        return found

    def place(self) -> np.ndarray:
        """Return RA and Dec where the exposures' WCS say that the star is, on the mean."""
        places = []
        for name in self.names:
            with datamodels.open(self.product(name, "psfsub")) as model:
                places.append(model.meta.wcs(*self.exposure(name).star))
        return np.mean(places, axis=0)

    def transmitted(self, number: int) -> float:
        """Return what the coronagraph leaves of a companion, mean of the exposures."""
        places = [
            np.rint(self.exposure(name).companions[number]).astype(int) for name in self.names
        ]
        return float(np.mean([self.transmission[y, x] for x, y in places]))


def fluxes(scene: Scene, image: Image, psf: Any, through: list[float]) -> list[dict[str, float]]:
    """Return the companions' fluxes over their true ones, and flux over the noise of the ring."""
    wide = psf.drizzled()
    measured = flux_map(image.data, wide)
    mask = np.zeros(image.data.shape, bool)
    for place in image.companions:
        mask |= image.radius(place) <= CORE * wide.fwhm * image.scale
    rings = Rings(measured, tuple(image.star), wide.fwhm, mask)
    rows = []
    for number, (companion, place) in enumerate(
        zip(scene.truth["companions"], image.companions, strict=True)
    ):
        (mean,), (error,), _ = rings.around(*place[:, None].astype(float))
        flux = flux_at(image.data, wide, *place) - mean
        whole = flux * scene.jansky / through[number] / scene.transmitted(number)
        rows.append({"flux / truth": whole / companion["flux"], "snr": flux / error})
    return rows


def score(folder: Path, simulated: Path) -> dict[str, Any]:
    """Return all figures of a folder of products."""
    scene = Scene(folder, simulated)
    with datamodels.open(scene.product(scene.names[0], "psfsub")) as model:
        band = FILTERS[model.meta.instrument.name][model.meta.instrument.filter]
        margin = STOPS[model.meta.exposure.type]
    psf = model_psf(*band, scene.scale, margin=margin)
    image = scene.combined()
    through = scene.throughput(psf)
    combined = residual(image, scene.peak)
    names = scene.names
    companions = scene.truth["companions"]
    parts = [each for name in names for each in scene.integrations(name)]
    return {
        "klip": scene.klip(),
        "residual per roll": [residual(scene.exposure(name), scene.peak) for name in names],
        "residual combined": combined,
        "throughput": through,
        "residual / throughput": {k: v / through["faint"][0] for k, v in combined.items()},
        "companions": [
            {"peak snr": snr(image, k, c["separation"]), **row}
            for k, (c, row) in enumerate(
                zip(companions, fluxes(scene, image, psf, through["own"]), strict=True)
            )
        ],
        "cosmic rays": cosmic_rays(folder, simulated),
        "noise / ERR": {
            "psfsub": float(np.mean([noise_over_err(part, 1) for part in parts])),
            "i2d": noise_over_err(image, BLOCK),
        },
    }


def main() -> None:
    """Score as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("products", type=Path)
    parser.add_argument("simulated", type=Path)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows of NaN; dates in headers
        text = json.dumps(score(options.products, options.simulated), indent=2, default=float)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
