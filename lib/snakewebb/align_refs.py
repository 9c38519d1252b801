"""align_refs: repair of bad pixels, the star's centre, and references shifted onto the target."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy import fft
from numpy.lib.stride_tricks import sliding_window_view

from snakewebb.dq import DO_NOT_USE, bad_mask
from snakewebb.errors import InputError

log = logging.getLogger(__name__)

MARGIN = 16
"""Pixels by which an image goes on, fading, before it is shifted; no shift may be greater."""
EDGE = 2
"""Pixels along the frame's edges that no fit looks at."""
SECTORS = 8
"""Wedges of the image between which residuals count as independent."""
PRECISION = 1e-5
"""Pixels by which the last iteration may change a shift."""
MOST_ITERATIONS = 50
REACH = 3
"""Pixels round the mask's place within which the star is looked for."""
UNLIKE = 5.0
"""Standard deviations of a ring at which two sides of a star differ by more than its speckles."""
RING = 3.0
"""Width in pixels of the rings that are looked at one by one."""
REFITS = 5


@dataclass(frozen=True)
class Aligned:
    """References shifted onto a target.

    Attributes
    ----------
    data, err : (K, ny, nx) float64
        Without errors, err is None.
    dq : (K, ny, nx) uint32
        Flags of the pixels that a pixel was made of; DO_NOT_USE too where it comes from outside.
    shifts, shift_errors : (K, 2) float64
        By how much each reference lay off the target, (x, y) pixels; it was shifted back.
    beta : (K,) float64
        The reference's brightness in units of the target's.
    residual : (K,) float64
        Root mean square of what the fit leaves of the reference, relative to the reference.
    reason : str
        Why nothing was aligned.

    Notes
    -----
    A reference that cannot be aligned is 0 and DO_NOT_USE throughout, so that nothing of it is
    subtracted; its numbers are NaN.
    """

    data: np.ndarray
    err: np.ndarray | None
    dq: np.ndarray
    shifts: np.ndarray
    shift_errors: np.ndarray
    beta: np.ndarray
    residual: np.ndarray
    reason: str = ""


@dataclass(frozen=True)
class Offset:
    """How an image lies to another one: shift, its error (x, y; pixels), brightness, residual."""

    shift: np.ndarray
    error: np.ndarray
    beta: float
    residual: float


# --- repair --------------------------------------------------------------------------------------


def bad_pixels(data: np.ndarray, dq: np.ndarray | None, bad_bits: str | int | None) -> np.ndarray:
    """Return True where a pixel is not finite or has one of the ``bad_bits`` set in its DQ."""
    bad = ~np.isfinite(data)
    if dq is not None:
        bits = ~bad_mask(bad_bits) & 0xFFFFFFFF if bad_bits is not None else 0
        bad |= (dq & np.uint32(bits)) != 0
    return bad


def repair(
    data: np.ndarray,
    dq: np.ndarray | None,
    err: np.ndarray | None = None,
    *,
    median_box_length: int = 3,
    bad_bits: str | int | None = "DO_NOT_USE",
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Replace bad pixels by the median of the good ones round them.

    Parameters
    ----------
    data, dq, err : (n, ny, nx)
        Not changed. Bad is a pixel that is not finite, in `err` neither, or flagged.
    median_box_length : int, optional
        Side of the box of neighbours; an even one counts as the next odd one, and less than 3 as
        3. Where a box holds no good pixel, its neighbours are filled first.
    bad_bits : str, int or None, optional
        DQ flags that make a pixel bad.

    Returns
    -------
    data : (n, ny, nx) float64
    err : (n, ny, nx) float64 or None
        Repaired in the same way.
    bad : (n, ny, nx) bool
        What was replaced.

    Raises
    ------
    InputError
        An integration has no good pixel.
    """
    bad = bad_pixels(data, dq, bad_bits)
    if err is not None:
        bad |= ~np.isfinite(err)
    half = max(median_box_length // 2, 1)
    repaired = []
    for cube in (data, err):
        if cube is None:
            repaired.append(None)
            continue
        cube = np.array(cube, np.float64, order="C")
        for k, image in enumerate(cube):
            if bad[k].all():
                raise InputError(f"integration {k + 1} has no good pixel: leave the exposure out")
            fill(image, ~bad[k], half)
        repaired.append(cube)
    log.info("%d bad pixels repaired, %.2f %%", bad.sum(), 100 * bad.mean())
    return repaired[0], repaired[1], bad


def fill(image: np.ndarray, known: np.ndarray, half: int) -> None:
    """Give each pixel that is not known the median of the known ones round it, in place.

    In every pass all pixels with a known one within ``half`` rows and columns are filled, from
    those known before the pass; then they count as known. So no order of pixels matters, and wide
    gaps close from their rims.

    Parameters
    ----------
    image : (ny, nx) float64
    known : (ny, nx) bool
        At least one is.
    half : int
        Half the side of the box, at least 1.
    """
    side = 2 * half + 1
    holes = np.argwhere(~known)
    values = np.pad(np.where(known, image, np.nan), half, constant_values=np.nan)
    boxes = np.lib.stride_tricks.sliding_window_view(values, (side, side))
    while len(holes):
        around = np.sort(boxes[tuple(holes.T)].reshape(len(holes), -1), axis=1)  # NaN comes last
        number = np.count_nonzero(~np.isnan(around), axis=1)
        ready = number > 0
        lines, number = around[ready], number[ready]
        each = np.arange(len(lines))
        found = (lines[each, (number - 1) // 2] + lines[each, number // 2]) / 2
        rows, columns = holes[ready].T
        image[rows, columns] = values[rows + half, columns + half] = found
        holes = holes[~ready]


# --- Fourier shifts ------------------------------------------------------------------------------


def fourier_shift(cube: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Shift images by fractions of a pixel.

    The Fourier transform is periodic and rings at steps, so the image first goes on beyond its
    edges, mirrored and fading to the level of its rim.

    Parameters
    ----------
    cube : (n, ny, nx)
        Finite.
    shifts : (n, 2)
        Pixels (x, y) to move the contents by, at most ``MARGIN``.

    Returns
    -------
    (n, ny, nx) float64
    """
    shifted = np.empty(cube.shape)
    for k, (image, shift) in enumerate(zip(cube, shifts, strict=True)):
        padded = _extended(image)
        spectrum = fft.rfft2(padded) * _phase(padded.shape, shift)
        shifted[k] = _inner(fft.irfft2(spectrum, padded.shape), image.shape)
    return shifted


def turn(cube: np.ndarray, center: tuple[float, float]) -> np.ndarray:
    """Turn images (n, ny, nx) by 180 degrees about a place (x, y), 0-based pixels.

    Zero where what would come there lies outside the frame.
    """
    shape = cube.shape[1:]
    distance = 2 * np.asarray(center, float) - np.array(shape[::-1]) + 1
    whole = np.round(distance).astype(int)
    shifted = fourier_shift(cube[:, ::-1, ::-1], np.tile(distance - whole, (len(cube), 1)))
    turned = np.zeros(cube.shape)
    (columns, from_columns), (rows, from_rows) = map(_overlap, shape[::-1], whole)
    turned[:, rows, columns] = shifted[:, from_rows, from_columns]
    return turned


def _overlap(size: int, step: int) -> tuple[slice, slice]:
    """Return where an axis lands, and what of it, when it is moved by whole pixels."""
    return slice(max(step, 0), size + min(step, 0)), slice(max(-step, 0), size - max(step, 0))


def shift_variance(cube: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return the variance of images after `fourier_shift`, for independent pixels before it.

    The shift's kernel is a product of one in x and one in y; the variance is convolved with its
    square, so it can't become negative.
    """
    shifted = np.empty(cube.shape)
    for k, (image, shift) in enumerate(zip(cube, shifts, strict=True)):
        padded = _extended(image)
        kernels = [
            fft.irfft(np.exp(-2j * np.pi * fft.rfftfreq(n) * step), n) ** 2
            for n, step in zip(padded.shape[::-1], shift, strict=True)
        ]
        response = fft.fft(kernels[1])[:, None] * fft.rfft(kernels[0])
        spread = fft.irfft2(fft.rfft2(padded) * response, padded.shape)
        shifted[k] = np.maximum(_inner(spread, image.shape), 0.0)
    return shifted


def shift_flags(dq: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return DQ flags moved along with the pixels.

    A pixel gets the flags of all those it overlaps by more than 1 % in x and y, and DO_NOT_USE
    where it overlaps what lies outside the frame.
    """
    moved = np.empty_like(dq)
    for k, (image, shift) in enumerate(zip(dq, shifts, strict=True)):
        flags = np.pad(image, MARGIN + 1, constant_values=DO_NOT_USE)
        for axis, step in ((1, shift[0]), (0, shift[1])):
            whole, part = divmod(step, 1.0)
            steps = [int(whole)] if part < 0.99 else []
            steps += [int(whole) + 1] if part > 0.01 else []
            rolled = [np.roll(flags, s, axis) for s in steps]
            flags = rolled[0] | rolled[-1]
        moved[k] = flags[MARGIN + 1 : -MARGIN - 1, MARGIN + 1 : -MARGIN - 1]
    return moved


def _extended(image: np.ndarray) -> np.ndarray:
    """Return an image with a fading rim, of odd sides that have fast Fourier transforms.

    Odd, since an even side's highest frequency cannot be shifted.
    """
    pads = []
    for n in image.shape:
        size = (n + 2 * MARGIN) | 1
        while not _is_fast(size):
            size += 2
        before = (size - n) // 2
        pads.append((before, size - n - before))
    level = np.median(np.concatenate((image[0], image[-1], image[1:-1, 0], image[1:-1, -1])))
    padded = np.pad(image - level, pads, mode="reflect")
    for axis, (before, after) in enumerate(pads):
        fade = np.ones(padded.shape[axis])
        fade[:before] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(before) + 0.5) / before)
        fade[-after:] = 0.5 + 0.5 * np.cos(np.pi * (np.arange(after) + 0.5) / after)
        padded *= fade[:, None] if axis == 0 else fade
    return padded + level


def _is_fast(size: int) -> bool:
    """Return whether Fourier transforms of an odd length are fast: it has factors 3 and 5 only."""
    for factor in (3, 5):
        while size % factor == 0:
            size //= factor
    return size == 1


def _inner(padded: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the part of a padded image that is the image."""
    return padded[
        tuple(
            slice((size - n) // 2, (size - n) // 2 + n)
            for size, n in zip(padded.shape, shape, strict=True)
        )
    ]


def _phase(shape: tuple[int, int], shift: np.ndarray) -> np.ndarray:
    """Return what a half-plane spectrum is multiplied by to shift its image by (x, y)."""
    phase_y = np.exp(-2j * np.pi * fft.fftfreq(shape[0]) * shift[1])
    phase_x = np.exp(-2j * np.pi * fft.rfftfreq(shape[1]) * shift[0])
    return phase_y[:, None] * phase_x


# --- fits ----------------------------------------------------------------------------------------


class Template:
    """An image that others are compared with, at any shift.

    Parameters
    ----------
    image : (ny, nx) array
        Finite.
    weights : (ny, nx) array
        What a pixel's residual is multiplied by; 0 to leave it out.
    reach : int, optional
        Pixels in x and y within which the best whole-pixel shift is looked for.
    """

    def __init__(self, image: np.ndarray, weights: np.ndarray, reach: int = MARGIN // 2) -> None:
        self.reach = reach
        weights = weights.astype(np.float64)
        weights[:EDGE] = weights[-EDGE:] = weights[:, :EDGE] = weights[:, -EDGE:] = 0.0
        rows, columns = np.nonzero(weights)
        if not rows.size:
            raise InputError("align_refs: the mask leaves no pixel: give another psfmask")
        self.window = tuple(
            slice(max(int(index.min()) - MARGIN, 0), int(index.max()) + 1 + MARGIN)
            for index in (rows, columns)
        )
        self.weights = weights[self.window]
        self.shape = self.weights.shape
        padded = _extended(np.asarray(image[self.window], np.float64))
        self.padded_shape = padded.shape
        self.spectrum = fft.rfft2(padded)
        gradient_x = -2j * np.pi * fft.rfftfreq(padded.shape[1])
        gradient_y = -2j * np.pi * fft.fftfreq(padded.shape[0])[:, None]
        self.spectra = np.stack(
            (self.spectrum, self.spectrum * gradient_x, self.spectrum * gradient_y)
        )
        y, x = np.indices(self.shape)
        total = self.weights.sum()
        angle = np.arctan2(
            y - (self.weights * y).sum() / total, x - (self.weights * x).sum() / total
        )
        sector = np.floor(angle / np.pi * SECTORS).astype(int).ravel() % SECTORS
        self.by_sector = np.argsort(sector, kind="stable")
        self.bounds = np.searchsorted(sector[self.by_sector], np.arange(SECTORS + 1))
        square = fft.rfft2(_padded(self.weights**2, padded.shape))
        centred = _extended(np.asarray(image[self.window], np.float64) - np.median(padded))
        power = square * np.conj(fft.rfft2(centred**2))
        self.coarse = fft.rfft2(centred), fft.irfft2(power, padded.shape)

    def offset(self, image: np.ndarray, good: np.ndarray | None = None) -> Offset:
        """Fit ``beta · template(shifted) + constant`` to an image by weighted least squares.

        Gauss-Newton iterations from the best whole-pixel shift, with the exact derivatives. The
        errors are from the jackknife over sectors (Efron & Stein 1981, Ann. Stat. 9, 586), since
        residual speckles are not independent from pixel to pixel.

        Parameters
        ----------
        image : (ny, nx) array
            Finite.
        good : (ny, nx) bool, optional
            False to leave a pixel out.

        Raises
        ------
        InputError
            No fit is found.
        """
        image = np.asarray(image[self.window], np.float64)
        weights = self.weights if good is None else self.weights * good[self.window]
        values = (image * weights).ravel()
        shift = self._whole_pixels(image, weights)
        for _ in range(MOST_ITERATIONS):
            phase = _phase(self.padded_shape, shift)
            # One by one they stay in the processor's cache.
            planes = [
                _inner(fft.irfft2(spectrum * phase, self.padded_shape), self.shape) * weights
                for spectrum in self.spectra
            ]
            design = np.stack((*planes, weights)).reshape(4, -1)
            normal = design @ design.T
            beta, gx, gy, constant = np.linalg.solve(normal, design @ values)
            step = np.array([gx, gy]) / beta
            shift = shift + step
            if np.abs(shift).max() > MARGIN or not beta > 0:
                break
            if np.abs(step).max() < PRECISION:
                light = values - constant * design[3]
                residual = light - beta * design[0]
                error = np.sqrt(np.diag(self._jackknife(design, residual))[1:3]) / beta
                relative = np.sqrt((residual**2).sum() / (light**2).sum())
                return Offset(shift, error, float(beta), float(relative))
        raise InputError("align_refs: the star's light cannot be aligned: check the exposures")

    def _jackknife(self, design: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return the covariance of fitted parameters from fits that leave out a sector each."""
        rows = np.vstack((design, residual))[:, self.by_sector]
        sectors = [rows[:, first:last] for first, last in pairwise(self.bounds)]
        sums = np.stack([sector[:-1] @ sector.T for sector in sectors])
        normal, scores = sums[..., :-1], sums[..., -1]
        changes = np.linalg.solve(normal.sum(axis=0) - normal, -scores[..., None])[..., 0]
        return (SECTORS - 1) / SECTORS * changes.T @ changes

    def _whole_pixels(self, image: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the whole-pixel shift with the highest weighted correlation."""
        light = weights**2 * (image - np.average(image, weights=weights**2))
        spectrum, norm = self.coarse
        product = fft.irfft2(
            fft.rfft2(_padded(light, self.padded_shape)) * np.conj(spectrum), self.padded_shape
        )
        near = np.arange(-self.reach, self.reach + 1)
        box = np.ix_(near, near)
        if not norm[box].max() > 0:
            raise InputError("align_refs: there is no light to align: check the exposures")
        height = product[box] / np.sqrt(np.maximum(norm[box], norm[box].max() * 1e-9))
        row, column = np.unravel_index(np.argmax(height), height.shape)
        return np.array([near[column], near[row]], float)


def _padded(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image placed as `_extended` does, with zeros round it."""
    padded = np.zeros(shape)
    _inner(padded, image.shape)[:] = image
    return padded


# --- the step ------------------------------------------------------------------------------------


def disc(shape: tuple[int, int], center: tuple[float, float]) -> np.ndarray:
    """Return the mask that is used where there is no PSFMASK: 1 close to the star, 0 elsewhere.

    Its radius is a sixth of the frame's shorter side: on a NIRCam subarray 3.3 arcsec.
    """
    y, x = np.indices(shape)
    radius = min(shape) / 6
    return (np.hypot(x - center[0], y - center[1]) <= radius).astype(np.float64)


def find_star(
    image: np.ndarray, guess: tuple[float, float], good: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the star behind a coronagraph: the point about which its light is most symmetric.

    The image is turned by 180 degrees about the guess and fitted to itself; half the shift is the
    star's distance from the guess. The diffraction of a real pupil mask is point-symmetric
    whatever the pupil looks like; what asymmetry a wavefront error adds shows up in the error.
    A companion has nothing like it on the other side: where the two sides are most unlike, about
    the guess and then about each fit's star, both are left out.

    Parameters
    ----------
    image : (ny, nx) array
        Finite.
    guess : (x, y)
        0-based pixels, right to some `REACH`: where the mask is (CRPIX).
    good : (ny, nx) bool, optional
        False to leave a pixel out.

    Returns
    -------
    center, error : (2,) float64
        (x, y), 0-based pixels. Coma of the telescope moves all exposures alike, by up to 0.1
        pixels in simulations, and is not in the error.

    Raises
    ------
    InputError
        No star is found.
    """
    pivot = np.round(guess).astype(int)
    half = int(min(*pivot, *(np.array(image.shape[::-1]) - 1 - pivot)))
    cut = np.s_[pivot[1] - half : pivot[1] + half + 1, pivot[0] - half : pivot[0] + half + 1]
    square = np.asarray(image, np.float64)[cut]
    usable = np.ones(square.shape, bool) if good is None else good[cut] & good[cut][::-1, ::-1]
    mask = disc(image.shape, (pivot[0], pivot[1]))[cut]
    center, seen = np.array([half, half], float), []
    for _ in range(REFITS):
        turned = turn(square[None], center)[0]
        alike = usable & ~_unlike(square - turned, center)
        if any((alike == before).all() for before in seen):
            break
        seen.append(alike)
        # Left out here, a companion would still be matched at other shifts.
        clean = np.where(alike, square, np.minimum(square, turned))
        offset = Template(clean[::-1, ::-1], mask, 2 * REACH).offset(clean, alike)
        center = half + offset.shift / 2
    if np.abs(center - half).max() > REACH + 1:
        raise InputError(
            f"align_refs: no star within {REACH} pixels of {pivot[0]}, {pivot[1]}: check CRPIX"
        )
    return pivot + offset.shift / 2, offset.error / 2


def _unlike(difference: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Return True, on both sides, where an image less itself turned is far off on its ring."""
    y, x = np.indices(difference.shape)
    ring = np.floor(np.hypot(x - center[0], y - center[1]) / RING).astype(int)
    sizes = np.abs(difference)
    typical = np.array([np.median(sizes[ring == number]) for number in range(ring.max() + 1)])
    far = np.pad(sizes > UNLIKE * 1.4826 * typical[ring], 1)
    return sliding_window_view(far, (3, 3)).any(axis=(2, 3))  # and the pixels next to them


UNKNOWN = Offset(np.full(2, np.nan), np.full(2, np.nan), np.nan, np.nan)


def _offsets(
    target: np.ndarray, data: np.ndarray, weights: np.ndarray, bad: np.ndarray | None
) -> list[Offset]:
    """Return how references lie to a target, ``UNKNOWN`` where no fit is found."""
    try:
        template = Template(target, weights)
    except InputError:
        return [UNKNOWN] * len(data)
    offsets = []
    for k, image in enumerate(data):
        try:
            with np.errstate(all="ignore"):
                offset = template.offset(image, None if bad is None else ~bad[k])
        except (InputError, np.linalg.LinAlgError):
            offset = UNKNOWN
        # At the limit of the search is no best match.
        offsets.append(offset if np.abs(offset.shift).max() < template.reach else UNKNOWN)
    return offsets


def unaligned(data: np.ndarray, err: np.ndarray | None, dq: np.ndarray) -> Aligned:
    """Return references, repaired, as they are; see `align`."""
    unknown = np.full(len(data), np.nan)
    shifts = np.zeros((len(data), 2))
    return Aligned(data, err, dq, shifts, np.full_like(shifts, np.nan), unknown, unknown)


def align(
    target: np.ndarray,
    data: np.ndarray,
    err: np.ndarray | None,
    dq: np.ndarray,
    mask: np.ndarray,
    *,
    good: np.ndarray | None = None,
    bad: np.ndarray | None = None,
) -> Aligned:
    """Shift references onto a target.

    The shift is that which takes ``beta`` times the target, plus a constant, to the reference with
    the least squares of ``mask`` times the difference.

    Parameters
    ----------
    target : (ny, nx) array
        An integration of the target or the mean of several, repaired.
    data, err : (K, ny, nx) arrays
        References, repaired; err may be None.
    dq : (K, ny, nx) uint32
        Their flags.
    mask : (ny, nx) array
        Weights from 0 to 1: a PSFMASK, or `disc`.
    good : (ny, nx) bool, optional
        False where the target was repaired; no fit looks there.
    bad : (K, ny, nx) bool, optional
        True where a reference was repaired.

    Returns
    -------
    Aligned
        If no reference can be aligned, as they are, with the reason.

    Raises
    ------
    InputError
        Shapes differ.
    """
    if not target.shape == data.shape[1:] == mask.shape:
        raise InputError(
            f"align_refs: the target has {target.shape} pixels, the references {data.shape[1:]}, "
            f"the mask {mask.shape}: use one subarray"
        )
    offsets = _offsets(target, data, mask if good is None else mask * good, bad)
    known = np.array([offset is not UNKNOWN for offset in offsets])
    if not known.any():
        reason = "no reference's light is like that of the target"
        log.warning("references not aligned: %s", reason)
        return replace(unaligned(data, err, dq), reason=reason)
    if not known.all():
        log.warning("not aligned, left out: %s", ", ".join(map(str, np.flatnonzero(~known) + 1)))
        data, dq = data * known[:, None, None], dq | np.where(known, 0, DO_NOT_USE)[:, None, None]
    shifts = np.nan_to_num([offset.shift for offset in offsets])
    if err is not None:
        err = np.sqrt(shift_variance(np.asarray(err, np.float64) ** 2, -shifts))
    return Aligned(
        fourier_shift(data, -shifts),
        err,
        shift_flags(dq, -shifts),
        np.array([offset.shift for offset in offsets]),
        np.array([offset.error for offset in offsets]),
        np.array([offset.beta for offset in offsets]),
        np.array([offset.residual for offset in offsets]),
    )
