"""Stars behind coronagraphs by Fourier optics that share nothing with the project's simulator.

Each seed has a telescope of its own: segments, struts, Lyot stop, wavefront, mask, companions.
"""

from typing import NamedTuple

import numpy as np
from numpy import fft
from scipy.special import j1

ARCSEC = np.radians(1 / 3600)
ROUND, QUADRANTS, SPOT = "round", "4qpm", "spot"
BANDS = {
    ROUND: ((3.35e-6, 0.1, 0.063), (4.4e-6, 0.23, 0.063)),
    QUADRANTS: ((11.3e-6, 0.07, 0.11), (15.5e-6, 0.06, 0.11)),
    SPOT: ((22.75e-6, 0.24, 0.11),),
}
"""Wavelength (m), relative bandwidth, arcsec a pixel."""
SAMPLES = 96
"""Across the telescope."""


class Sight(NamedTuple):
    """An image, 0-based places of the star and of the mask's middle (CRPIX) on it, the mask."""

    image: np.ndarray
    star: np.ndarray
    mask: np.ndarray
    kind: str


def observe(seed, offset=(0.0, 0.5), *, kind=None, rolls=1, shape=(120, 128)):
    """Return images of one star, of which the telescope is pointed anew for each.

    Parameters
    ----------
    seed : int
    offset : (low, high)
        Pixels between the star and the mask's middle, in any direction.
    kind : str, optional
        The mask: ROUND, QUADRANTS or SPOT; of any seed its own by default.
    """
    rng = np.random.default_rng(seed)
    kind = kind or rng.choice((ROUND, ROUND, QUADRANTS, SPOT))
    wavelength, bandwidth, scale = BANDS[kind][rng.integers(len(BANDS[kind]))]
    diameter = rng.uniform(6.2, 6.8)
    pupil, stop = telescope(rng)
    wavefront = aberrations(rng, pupil, rng.uniform(40, 100))
    middle = np.array(shape[::-1]) / 2 + rng.uniform(-3, 3, 2)
    peak = 10 ** rng.uniform(5.5, 7)
    stars = [(0.0, 0.0, 1.0)]
    for _ in range(rng.integers(0, 3)):
        distance, angle = rng.uniform(5, 40), rng.uniform(0, 2 * np.pi)
        stars.append((distance, angle, 10 ** rng.uniform(-4.5, -2.5)))
    slope = rng.normal(size=2) * 0.02
    y, x = np.indices(shape)
    sights = []
    for roll in range(rolls):
        distance, direction = rng.uniform(*offset), rng.uniform(0, 2 * np.pi)
        place = distance * np.array([np.cos(direction), np.sin(direction)])
        error = wavefront + aberrations(rng, pupil, 8)
        image = np.zeros(shape)
        for distance, angle, contrast in stars:
            angle = angle + np.radians(10) * roll
            where = place + distance * np.array([np.cos(angle), np.sin(angle)])
            optics = (pupil, stop, error, kind, wavelength, bandwidth, scale, diameter)
            image += contrast * picture(where, middle, shape, *optics)
        image *= peak
        image += 5 + slope[0] * (x - middle[0]) + slope[1] * (y - middle[1])
        # Electrons; the noise of a few integrations' mean, and gains that are not quite known.
        image = image * (1 + 0.003 * rng.normal(size=shape))
        image += np.sqrt(np.maximum(image, 0) / 4 + 9) * rng.normal(size=shape)
        sights.append(Sight(image, middle + place, middle, str(kind)))
    return sights


def telescope(rng):
    """Return the transmission of the pupil and of the stop behind the mask."""
    fine = (np.arange(4 * SAMPLES) + 0.5) / (4 * SAMPLES) * 2.1 - 1.05
    x, y = np.meshgrid(fine, fine)
    turn, struts = rng.uniform(0, np.pi / 3), rng.uniform(0, 2 * np.pi) + np.array([0, 1.9, 3.9])
    gap, strut, hole = rng.uniform(0.002, 0.01), rng.uniform(0.01, 0.02), rng.uniform(0.1, 0.2)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    pitch = 0.4
    q, r = (u * np.sqrt(3) / 3 - v / 3) / pitch * np.sqrt(3), 2 / 3 * v / pitch * np.sqrt(3)
    cells = np.round(np.stack((q, r, -q - r)))
    wrong = np.argmax(np.abs(cells - np.stack((q, r, -q - r))), axis=0)
    for k in range(3):
        others = cells.sum(axis=0) - cells[k]
        cells[k] = np.where(wrong == k, -others, cells[k])
    ring = np.abs(cells).max(axis=0)
    near_u = u - pitch * (cells[0] + cells[1] / 2)
    near_v = v - pitch * np.sqrt(3) / 2 * cells[1]
    edge = np.max(
        [np.abs(near_u * np.cos(a) + near_v * np.sin(a)) for a in np.pi / 3 * np.arange(3)], 0
    )
    dull = 1 - 0.05 * rng.random(49)[(cells[0] * 7 + cells[1]).astype(int) % 49]

    def clear(more):
        """Return where light passes, if all that stops it is wider by `more`."""
        passes = (ring >= 1) & (ring <= 2) & (edge < pitch / 2 - gap - more)
        for angle in struts:
            along, across = (
                x * np.cos(angle) + y * np.sin(angle),
                y * np.cos(angle) - x * np.sin(angle),
            )
            passes &= ~((along > 0) & (np.abs(across) < strut + more))
        return passes

    def coarse(image):
        return image.reshape(SAMPLES, 4, SAMPLES, 4).mean(axis=(1, 3))

    radius = np.hypot(x, y)
    pupil = clear(0.0) & (radius > hole)
    if rng.random() < 0.5:
        stop = clear(rng.uniform(0.01, 0.05))
    else:
        outer = rng.uniform(0.75, 0.9)
        stop = (radius < outer) & (radius > hole + 0.15) & clear(rng.uniform(-gap, 0.01))
    return coarse(pupil * dull), coarse(stop)


def aberrations(rng, pupil, rms):
    """Return a wavefront error, nm."""
    n = len(pupil)
    k = np.hypot(fft.fftfreq(n)[:, None], fft.fftfreq(n)) * n
    spectrum = fft.fft2(rng.normal(size=(n, n))) / np.maximum(k, 1) ** 1.3 * (k > 0.5)
    error = fft.ifft2(spectrum).real
    y, x = np.indices(pupil.shape) - (n - 1) / 2
    terms = np.stack((np.ones_like(x), x, y))[:, pupil > 0.5]
    fit = np.linalg.lstsq(terms.T, error[pupil > 0.5], rcond=None)[0]
    error = error - fit[0] - fit[1] * x - fit[2] * y
    return error * rms / error[pupil > 0.5].std()


def picture(star, middle, shape, pupil, stop, error, kind, wavelength, bandwidth, scale, diameter):
    """Return what the detector sees of a star, `star` pixels off the mask's `middle`."""
    n, size = SAMPLES, 4 * SAMPLES
    width = diameter * 1.05
    x = ((np.arange(n) + 0.5) / n - 0.5) * width
    image = np.zeros(shape)
    for colour in wavelength * (1 + bandwidth * np.linspace(-0.4, 0.4, 3)):
        tilt = 2 * np.pi / colour * scale * ARCSEC * np.asarray(star)
        field = pupil * np.exp(2e-9j * np.pi / colour * error)
        field = field * np.exp(1j * tilt[1] * x)[:, None] * np.exp(1j * tilt[0] * x)
        step = width / n
        # Half a step from the mask's middle, where the quadrants' edges are.
        half = np.exp(-1j * np.pi * np.arange(n) / size)
        angle = (fft.fftfreq(size, step) + 0.5 / (size * step)) * colour / ARCSEC
        distance = np.hypot(angle[:, None], angle)
        if kind == QUADRANTS:
            passes = np.sign(angle)[:, None] * np.sign(angle)
        elif kind == SPOT:
            passes = (distance > 2.16).astype(float)
        else:
            t = 2.1001 * distance / 0.63 * wavelength / 3.35e-6 + 1e-9
            passes = 1 - (2 * j1(t) / t) ** 2
        behind = fft.ifft2(fft.fft2(field * half[:, None] * half, (size, size)) * passes)[:n, :n]
        behind = behind * half.conj()[:, None] * half.conj() * stop
        over = 3
        waves = []
        for count, zero in zip(shape, middle[::-1], strict=True):
            place = (np.arange(count * over) - (over - 1) / 2) / over - zero
            waves.append(np.exp(-2j * np.pi / colour * scale * ARCSEC * np.outer(place, x)))
        light = np.abs(waves[0] @ behind @ waves[1].T) ** 2 / colour**2
        image += light.reshape(shape[0], over, shape[1], over).mean(axis=(1, 3))
    reference = (stop**2).sum() ** 2 / wavelength**2
    return image / (3 * reference)
