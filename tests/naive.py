"""Slow, obvious twins of the kernels, to hold them to."""

from fractions import Fraction

import numpy as np
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import map_coordinates

# --- spline ---------------------------------------------------------------------------------


def spline_through(x_nodes, y_nodes, planes):
    """Return functions of (y, x) lattices: bicubic splines through nodes (rows are y)."""
    return [RectBivariateSpline(y_nodes, x_nodes, np.asarray(plane), s=0) for plane in planes]


# --- sky matching -------------------------------------------------------------------------------


def inside_polygon(x, y, shape):
    """Even-odd rule, pixel by pixel: count the edges left of a centre that its row crosses."""
    inside = np.zeros(shape, bool)
    edges = [(x[k - 1], y[k - 1], x[k], y[k]) for k in range(len(x))]
    for row, column in np.ndindex(shape):
        crossed = [
            x0 + (row - y0) / (y1 - y0) * (x1 - x0)
            for x0, y0, x1, y1 in edges
            if min(y0, y1) <= row < max(y0, y1)
        ]
        inside[row, column] = sum(c <= column for c in crossed) % 2 == 1
    return inside


def sky_statistic(values, statistic, lower, upper, nclip, lsigma, usigma, binwidth):
    """Clip, then mean, median, mode or midpt: as written in the words of the docstring."""
    values = np.asarray(values, float)
    left = values[(values >= lower) & (values <= upper)]
    for _ in range(nclip):
        if left.size == 0:
            break
        std = left.std(ddof=1) if left.size > 1 else 0.0
        low = max(lower, left.mean() - lsigma * std)
        high = min(upper, left.mean() + usigma * std)
        left = values[(values >= low) & (values <= high)]
    if left.size == 0:
        return np.nan, 0
    if statistic == "mean":
        return left.mean(), left.size
    if statistic == "median":
        return np.median(left), left.size
    width = binwidth * (left.std(ddof=1) if left.size > 1 else 0.0)
    if not 0 < width <= np.ptp(left):
        return (left.min() + left.max()) / 2, left.size
    bins = ((left - left.min()) / width).astype(int)
    counts = np.array([np.sum(bins == k) for k in range(bins.max() + 1)])
    if statistic == "midpt":
        k = np.flatnonzero(np.cumsum(counts) >= left.size / 2)[0]
        k += (left.size / 2 - counts[:k].sum()) / counts[k]
        return left.min() + k * width, left.size
    smooth = np.array([
        sum(c * np.exp(-(((k - i) / 4) ** 2) / 2) for k, c in enumerate(counts) if abs(k - i) <= 16)
        for i in range(len(counts))
    ])  # fmt: skip
    k = np.argmax(smooth)
    shift = 0.0
    if 0 < k < len(counts) - 1:
        a, b, c = smooth[k - 1 : k + 2]
        shift = (c - a) / (2 * (2 * b - a - c))
    return left.min() + (k + 0.5 + shift) * width, left.size


def levels_from_differences(n, i, j, difference, weight):
    """Solve the normal equations of weighted differences in exact fractions.

    By elimination; a number that the equations leave free is 0.
    """
    matrix = [[Fraction(0)] * (n + 1) for _ in range(n)]
    for a, b, d, w in zip(i, j, difference, weight, strict=True):
        square, d = Fraction(float(w)) ** 2, Fraction(float(d))
        for row, sign in ((a, 1), (b, -1)):
            matrix[row][a] += sign * square
            matrix[row][b] -= sign * square
            matrix[row][n] += sign * square * d
    for k in range(n):
        if matrix[k][k]:
            matrix[k] = [value / matrix[k][k] for value in matrix[k]]
            for row in range(n):
                factor = matrix[row][k]
                if row != k and factor:
                    pairs = zip(matrix[row], matrix[k], strict=True)
                    matrix[row] = [value - factor * pivot for value, pivot in pairs]
    return np.array([float(matrix[k][n]) if matrix[k][k] else 0.0 for k in range(n)])


# --- alignment ----------------------------------------------------------------------------------


def brightest_apart(points, flux, separation):
    """Take sources from the brightest on, unless one taken is too near."""
    taken = []
    for k in sorted(range(len(points)), key=lambda k: (np.isnan(flux[k]), -flux[k], k)):
        if all(np.hypot(*(points[k] - points[t])) > separation for t in taken):
            taken.append(k)
    return sorted(taken)


def nearest_pairs(points, reference, tolerance):
    """Take pairs of which each is the other's nearest."""
    distance = np.hypot(*(points[:, None] - reference).transpose(2, 0, 1))
    return [
        (i, j)
        for i, j in np.ndindex(distance.shape)
        if distance[i, j] <= tolerance
        and distance[i, j] == distance[i].min() == distance[:, j].min()
    ]


def disagreement(points, group, star, maps):
    """Sum the squared distances of measurements from the mean of their star."""
    corrected = np.array([m @ np.append(p, 1) for p, m in zip(points, maps[group], strict=True)])
    return sum(
        np.sum((corrected[star == s] - corrected[star == s].mean(axis=0)) ** 2)
        for s in np.unique(star)
    )


def network_step(measured, seen, prior, poses, placements, precision):
    """One dense Gauss-Newton step of attitudes, placements and all stars with 5 parameters each.

    Derivatives are differences; also return the covariance of attitudes and placements.
    """
    n_stars, fixed = measured.star.max() + 1, poses.size + placements.size
    sigma = np.concatenate([prior.pose_sigma.ravel(), prior.placement_sigma.ravel()])

    def positions(parameters):
        own = parameters[:fixed].reshape(-1, 3)
        pose, place = own[: len(poses)], own[len(poses) :]
        stars = parameters[fixed:].reshape(-1, 5)
        off = []
        for point, e, s in zip(measured.points, measured.exposure, measured.star, strict=True):
            dv2, dv3, turn = place[seen.placement[e]]
            c, sn = np.cos(turn), np.sin(turn)
            x = seen.centre[e] + [[c, -sn], [sn, c]] @ (point - seen.centre[e])
            x = x + seen.axes[e] @ [dv2, dv3]
            east, north, turn = pose[seen.pose[e]]
            c, sn = np.cos(turn), np.sin(turn)
            pivot = prior.pivot[seen.pose[e]]
            x = pivot + [[c, -sn], [sn, c]] @ (x - pivot) + [east, north]
            model = stars[s, :2] + seen.epoch[e] * stars[s, 2:4] + stars[s, 4] * seen.parallax[e]
            off.append(x - model)
        return np.ravel(off)

    known = np.zeros((n_stars, 5, 5))
    known[:, [2, 3, 4], [2, 3, 4]] = [0.005**-2, 0.005**-2, 0.001**-2]
    mean = np.zeros((n_stars, 5))
    for s, own, covariance in zip(*vars(prior.stars).values(), strict=True):
        known[s], mean[s] = np.linalg.inv(covariance), own
    now = np.concatenate([poses.ravel(), placements.ravel(), mean.ravel()])
    here = positions(now)
    slopes = np.empty((len(here), len(now)))
    for k in range(len(now)):
        step = np.zeros(len(now))
        step[k] = 1e-5
        slopes[:, k] = (positions(now + step) - positions(now - step)) / 2e-5
    weight = np.repeat(precision, 2)
    matrix = slopes.T @ (slopes * weight[:, None])
    right = -slopes.T @ (weight * here)
    free = np.concatenate([sigma > 0, np.ones(mean.size, bool)])
    inverse = np.zeros(fixed)
    inverse[sigma > 0] = sigma[sigma > 0] ** -2.0
    matrix[np.arange(fixed), np.arange(fixed)] += inverse
    right[:fixed] += inverse * (np.append(prior.pose_mean, 0 * placements) - now[:fixed])
    for s in range(n_stars):
        at = slice(fixed + 5 * s, fixed + 5 * s + 5)
        matrix[at, at] += known[s]
    inverse = np.linalg.inv(matrix[np.ix_(free, free)])
    gain, covariance = np.zeros(len(now)), np.zeros((len(now), len(now)))
    gain[free] = inverse @ right[free]
    covariance[np.ix_(free, free)] = inverse
    return gain[:fixed], covariance[:fixed, :fixed]


# --- drizzle ------------------------------------------------------------------------------------


def clip(polygon, axis, bound, side):
    """Sutherland & Hodgman 1974: keep what of a polygon lies on one side of an axis' bound."""
    kept = []
    for (ax, ay), (bx, by) in zip(polygon[-1:] + polygon[:-1], polygon, strict=True):
        a, b = side * ((ax, ay)[axis] - bound), side * ((bx, by)[axis] - bound)
        if a * b < 0:
            t = a / (a - b)
            kept.append((ax + t * (bx - ax), ay + t * (by - ay)))
        if b >= 0:
            kept.append((bx, by))
    return kept


def polygon_area(polygon):
    pairs = zip(polygon[-1:] + polygon[:-1], polygon, strict=True)
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2


def shared_area(polygon, column, row):
    """Area that a polygon shares with the pixel centred at (column, row)."""
    for axis, bound, side in (
        (0, column - 0.5, 1), (0, column + 0.5, -1), (1, row - 0.5, 1), (1, row + 0.5, -1),
    ):  # fmt: skip
        polygon = clip(polygon, axis, bound, side)
    return polygon_area(polygon)


def shares(u, v, pixfrac, weight, shape):
    """Weight × fraction of the drop that each output pixel has of each input pixel."""
    found = np.zeros((*shape, *weight.shape))
    for j, i in np.ndindex(weight.shape):
        corners = []
        for b, a in ((-1, -1), (-1, 1), (1, 1), (1, -1)):
            x, y = (1 + a * pixfrac) / 2, (1 + b * pixfrac) / 2
            parts = np.outer([1 - y, y], [1 - x, x])
            cell = slice(j, j + 2), slice(i, i + 2)
            corners.append(((parts * u[cell]).sum(), (parts * v[cell]).sum()))
        if weight[j, i] == 0 or not np.isfinite(corners).all():
            continue
        low, high = np.floor(np.min(corners, 0)), np.ceil(np.max(corners, 0))
        for row in range(max(int(low[1]), 0), min(int(high[1]) + 1, shape[0])):
            for column in range(max(int(low[0]), 0), min(int(high[0]) + 1, shape[1])):
                area = shared_area(corners, column, row)
                found[row, column, j, i] = weight[j, i] * area / polygon_area(corners)
    return found


def drizzle(u, v, pixfrac, weight, planes, shape):
    """Drizzle with the square kernel: Σ weight × fraction of the drop, alone and times planes."""
    all_shares = shares(u, v, pixfrac, weight, shape)
    ones = np.ones_like(weight)
    return np.moveaxis([(all_shares * p).sum(axis=(2, 3)) for p in (ones, *planes)], 0, -1)


def mosaic_error(all_shares, variances, ratio):
    """ERR of a mosaic of exposures with weights 1 / VAR_RNOISE, the first of their variances."""
    square = np.zeros(all_shares[0].shape[:2])
    with np.errstate(divide="ignore", invalid="ignore"):
        drizzled = [
            [((each * np.sqrt(v)).sum(axis=(2, 3)) / each.sum(axis=(2, 3))) ** 2 for v in own]
            for each, own in zip(all_shares, variances, strict=True)
        ]
        for k in range(len(variances[0])):
            sums = [(v[k] / v[0] ** 2, 1 / v[0]) for v in drizzled]
            above, below = np.nansum(sums, axis=0)
            square += above / (ratio * below) ** 2
    return np.sqrt(square)


def noise_correlation(all_shares, weights, sigmas, err, reach):
    """Mean covariance over err² of output pixels by lag, of drops by the part that lies within."""
    total = sum(each.sum(axis=(2, 3)) for each in all_shares)
    inner = slice(reach, -reach), slice(reach, -reach)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(total > 0, 1 / (total * err), 0)
    found = np.zeros((2 * reach + 1, 2 * reach + 1))
    for each, weight, sigma in zip(all_shares, weights, sigmas, strict=True):
        part = each[inner].sum(axis=(0, 1)) / weight
        noise = np.pad(
            each * sigma * scale[:, :, None, None], 2 * ((reach, reach),) + 2 * ((0, 0),)
        )
        ny, nx = total.shape
        own = noise[reach:-reach, reach:-reach]
        for dy, dx in np.ndindex(found.shape):
            found[dy, dx] += (part * own * noise[dy : dy + ny, dx : dx + nx]).sum()
    return found / np.sum(total[inner] > 0) if np.any(total[inner] > 0) else np.nan * found


# --- outlier_detection ---------------------------------------------------------------------------


def central_values(images, ranges):
    """Median of full-size images, NaN where none has a value, twice; of just two values both.

    The second is NaN where there is one value only. Then the median of all but the highest value,
    NaN where there are less than three; and the range of these without the highest eighth of all,
    over that which is expected of so many, 0 where there are less than three.
    """
    ny, nx = images[0].shape
    low, high, others = np.full((3, ny, nx), np.nan, np.float32)
    spread = np.zeros((ny, nx), np.float32)
    for j in range(ny):
        for i in range(nx):
            values = sorted(float(image[j, i]) for image in images if not np.isnan(image[j, i]))
            if len(values) == 2:
                low[j, i], high[j, i] = values
            elif values:
                lower, upper = values[(len(values) - 1) // 2], values[len(values) // 2]
                low[j, i] = (lower + upper) / 2
                high[j, i] = low[j, i] if len(values) > 2 else np.nan
            if len(values) > 2:
                rest = np.float32(values[:-1])
                others[j, i] = (rest[(len(rest) - 1) // 2] + rest[len(rest) // 2]) / 2
                spread[j, i] = (rest[-1 - len(values) // 8] - rest[0]) / ranges[len(values)]
    return low, high, others, spread


def choose_of_two(low, high):
    """Of two values the one that sticks out less from two rings of pixels round it."""
    ny, nx = low.shape
    out = low.copy()
    for j, i in np.ndindex(ny, nx):
        below = above = 0.0
        for radius, diagonal in ((1, 1), (4, 3)):
            around = [
                (float(low[y, x]), float(high[y, x]))
                for y in range(max(j - radius, 0), min(j + radius + 1, ny))
                for x in range(max(i - radius, 0), min(i + radius + 1, nx))
                if {abs(y - j), abs(x - i)} in ({0, radius}, {diagonal})
                and not np.isnan(high[y, x])
            ]
            if around:
                lows, highs = zip(*around, strict=True)
                below += max(min(highs) - float(low[j, i]), 0.0)
                above += max(float(high[j, i]) - max(lows), 0.0)
        if below > above:
            out[j, i] = high[j, i]
    return out


def median_of_images(images):
    """Median of full-size images, NaN where none has a value; one chosen of just two."""
    return choose_of_two(*central_values(images, np.ones(len(images) + 1))[:2])


def blot(mosaic, u, v):
    """Sample a whole mosaic bilinearly at u, v; NaN where a neighbour is, and outside."""
    ny, nx = mosaic.shape
    out = np.full(u.shape, np.nan)
    for index in np.ndindex(u.shape):
        x, y = u[index], v[index]
        if not (0 <= x < nx and 0 <= y < ny):
            continue
        total = 0.0
        for row in (int(y), int(y) + 1):
            for col in (int(x), int(x) + 1):
                share = (1 - abs(x - col)) * (1 - abs(y - row))
                total += share * float(mosaic[min(row, ny - 1), min(col, nx - 1)])
        out[index] = total
    return out


def candidates(sci, err, lower, upper, background, most, snr):
    """Return where sci lies below lower or above upper by snr errors of no more than most."""
    noise = np.where(err > 0, np.minimum(err, most), np.inf)
    value = sci - background
    return (lower - value > snr * noise) | (value - upper > snr * noise)


def clean_noise(err, variance, others, curve, flux, places):
    """Noise of pixels by the least of their variances, in units of what is typical of each."""
    found = []
    for place in places:
        own = float(variance[place])
        scaled = [float(o[place]) * np.median(variance / o) for o in others]
        least = min([own, *scaled])
        clean = curve(flux[place]) + least - np.median(variance)
        found.append(np.sqrt(clean if err[place] ** 2 > 1.2 * clean else err[place] ** 2))
    return np.array(found)


def flag_outliers(sci, err, model, background, snr, scale):
    """Return where sci differs from model + background, by the two-pass rule."""
    ny, nx = sci.shape

    def neighbours(j, i, reach):
        for b in range(max(j - 1, 0), min(j + 2, ny)):
            for a in range(max(i - 1, 0), min(i + 2, nx)):
                if abs(b - j) + abs(a - i) <= reach:
                    yield b, a

    def exceeds(j, i, which):
        center = float(model[j, i])
        steps = [abs(center - float(model[near])) for near in neighbours(j, i, 1)]
        steepness = max((step for step in steps if not np.isnan(step)), default=0.0)
        noise = float(err[j, i]) if err[j, i] > 0 else np.inf
        return abs(float(sci[j, i]) - center - background) > (
            scale[which] * steepness + snr[which] * noise
        )

    return np.array(
        [
            [
                exceeds(j, i, 1) and any(exceeds(b, a, 0) for b, a in neighbours(j, i, 2))
                for i in range(nx)
            ]
            for j in range(ny)
        ]
    )


# --- centroids ------------------------------------------------------------------------------


def centroid_error(image, err, sigma, x, y):
    """Return the error of a windowed position: the root mean square of those of x and y."""
    rows, columns = np.indices(image.shape)
    half = int(np.ceil(4 * sigma))
    edge = np.maximum(abs(rows - np.rint(y)), abs(columns - np.rint(x))) == half
    square = (columns - x) ** 2 + (rows - y) ** 2
    window = np.exp(-square / (2 * sigma**2)) * (square <= (4 * sigma) ** 2) * np.isfinite(image)
    light = window * (image - np.nanmedian(image[edge]))
    across = columns - x, rows - y
    noise = [np.nansum((window * err * offset) ** 2) for offset in across]
    slopes = [np.nansum(light * (1 - offset**2 / sigma**2)) for offset in across]
    return np.sqrt(np.mean(noise)) / np.mean(slopes)


def windowed_centroid(image, sigma, x, y):
    """Return the fixed point of the Gaussian-windowed centroid of an image without bad pixels."""
    half = int(np.ceil(4 * sigma))
    column, row = round(x), round(y)
    cut = image[row - half : row + half + 1, column - half : column + half + 1].astype(float)
    j, i = np.meshgrid(np.arange(-half, half + 1) + column, np.arange(-half, half + 1) + row)
    rim = np.ones(cut.shape, bool)
    rim[1:-1, 1:-1] = False
    cut -= np.median(cut[rim])
    for _ in range(200):
        square = (j - x) ** 2 + (i - y) ** 2
        light = cut * np.exp(-square / (2 * sigma**2)) * (square <= (4 * sigma) ** 2)
        x += 2 * (light * (j - x)).sum() / light.sum()
        y += 2 * (light * (i - y)).sum() / light.sum()
    return x, y


# --- rings about a star -------------------------------------------------------------------------


def ring_statistics(image, good, center, spacing, x, y, first):
    """Cubic spline values at places on each point's ring: mean, std, number."""
    results = []
    for u, v in zip(x, y, strict=True):
        radius = np.hypot(u - center[0], v - center[1])
        start = np.arctan2(v - center[1], u - center[0])
        places = int(2 * np.pi * radius / spacing)
        values = []
        for k in range(places):
            if min(k, places - k) < first:
                continue
            angle = start + 2 * np.pi * k / places
            a, b = center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)
            inside = 1 <= a < image.shape[1] - 2 and 1 <= b < image.shape[0] - 2
            if inside and good[round(b), round(a)]:
                values.append(map_coordinates(image, [[b], [a]], mode="mirror")[0])
        enough = len(values) > 1
        results.append(
            (np.mean(values), np.std(values, ddof=1), len(values))
            if enough
            else (np.nan, np.nan, len(values))
        )
    return tuple(np.array(column) for column in zip(*results, strict=True))


# --- coronagraphy --------------------------------------------------------------------------------


def fill(image, known, half):
    """Give unknown pixels the median of known neighbours, rim by rim."""
    image, known = image.copy(), known.copy()
    while not known.all():
        before, was_known = image.copy(), known.copy()
        for j, i in zip(*np.nonzero(~was_known), strict=True):
            box = np.s_[max(j - half, 0) : j + half + 1, max(i - half, 0) : i + half + 1]
            if was_known[box].any():
                image[j, i] = np.median(before[box][was_known[box]])
                known[j, i] = True
    return image


def local_scatter(deviations, j, i, half):
    """Median of the positive values in a box, without the pixel in its middle."""
    values = [
        deviations[b, a]
        for b in range(max(j - half, 0), min(j + half + 1, deviations.shape[0]))
        for a in range(max(i - half, 0), min(i + half + 1, deviations.shape[1]))
        if (b, a) != (j, i) and deviations[b, a] > 0
    ]
    return np.median(values) if values else np.nan


def klip(target, references, truncate):
    """Subtract principal components, by singular value decomposition."""
    shape = target.shape
    rows = references.reshape(len(references), -1).astype(float)
    rows = rows - rows.mean(axis=1)[:, None]
    _, values, modes = np.linalg.svd(rows, full_matrices=False)
    modes = modes[values > 1e-6 * values[0]][:truncate]
    flat = target.reshape(-1).astype(float)
    flat = flat - flat.mean()
    for mode in modes:
        flat = flat - mode * (mode @ flat)
    return flat.reshape(shape)


def offset(template, image, weights):
    """Fit shift, brightness and constant with a general optimiser and periodic shifts."""
    from scipy.ndimage import fourier_shift
    from scipy.optimize import least_squares

    spectrum = np.fft.fft2(template)

    def residual(p):
        moved = np.fft.ifft2(fourier_shift(spectrum, (p[1], p[0]))).real
        return (weights * (image - p[2] * moved - p[3])).ravel()

    return least_squares(residual, [0, 0, 1, 0], xtol=1e-15, ftol=1e-15, gtol=1e-15).x


def moved_flags(dq, shift, outside):
    """Flags of the pixels that share more than 1 % with each shifted pixel in x and y."""
    out = np.zeros_like(dq)
    ny, nx = dq.shape
    for j, i in np.ndindex(ny, nx):
        x, y = i - shift[0], j - shift[1]
        for b in range(int(np.floor(y)), int(np.floor(y)) + 2):
            for a in range(int(np.floor(x)), int(np.floor(x)) + 2):
                if 1 - abs(b - y) > 0.01 and 1 - abs(a - x) > 0.01:
                    inside = 0 <= b < ny and 0 <= a < nx
                    out[j, i] |= dq[b, a] if inside else outside
    return out


# --- quality ------------------------------------------------------------------------------------


def peaks(data, err, bad, level, width, threshold):
    """Row, column and light of pixels brighter than their neighbours, by all nine."""
    found = []
    for i in range(1, data.shape[0] - 1):
        for j in range(1, data.shape[1] - 1):
            nine = np.s_[i - 1 : i + 2, j - 1 : j + 2]
            sky = level[j // width]
            order = data[nine].ravel().argmax()  # the first of equal ones
            light = (data[nine].astype(float) - sky).sum()
            noise = np.sqrt((err[nine].astype(float) ** 2).sum())
            clear = data[i, j] - sky > err[i, j] and light > threshold * noise
            if order == 4 and clear and not bad[nine].any():
                found.append((i, j, light))
    return found


def stand_alone(x, y, light, near, share, far, glare):
    """Whether a peak is alone, all pairs compared."""
    alone = np.ones(len(x), bool)
    for k in range(len(x)):
        distance = np.hypot(x - x[k], y - y[k])
        distance[k] = np.inf
        close = (distance <= near) & (light > share * light[k])
        dazzled = (distance <= far) & (glare * light > light[k])
        alone[k] = not (close | dazzled).any()
    return alone


def fine_circle(x, y, radius, shape, fine=50):
    """The share of each pixel within a circle, by small squares."""
    step = (np.arange(fine) + 0.5) / fine - 0.5
    v, u = np.indices(shape)
    inside = np.zeros(shape)
    for dx in step:
        for dy in step:
            inside += np.hypot(u + dx - x, v + dy - y) < radius
    return inside / fine**2


def centroid(image, err, sky, x, y, sigma, reach):
    """Centroid under a Gaussian window about itself, and its error by changing pixel by pixel."""

    def solve(light):
        v, u = np.indices(light.shape)
        cx, cy = x, y
        for _ in range(60):
            inside = (u - cx) ** 2 + (v - cy) ** 2 <= (reach * sigma) ** 2
            weight = np.exp(-((u - cx) ** 2 + (v - cy) ** 2) / (2 * sigma**2)) * light * inside
            cx, cy = (
                cx + (weight * (u - cx)).sum() / weight.sum(),
                cy + (weight * (v - cy)).sum() / weight.sum(),
            )
        return np.array([cx, cy])

    light = image.astype(float) - sky
    middle = solve(light)
    variance = np.zeros(2)
    for place in np.ndindex(light.shape):
        if np.hypot(place[1] - middle[0], place[0] - middle[1]) <= (reach + 0.5) * sigma:
            step = light.max() * 1e-5
            changed = light.copy()
            changed[place] += step
            variance += ((solve(changed) - middle) / step * err[place]) ** 2
    return middle, np.sqrt(variance)


def pair_scatter(pairs, star, exposure, seen):
    """Standard deviation of the separation of each pair over exposures that see both."""
    found = []
    for a, b, along in pairs:
        of_a = {e: p for s, e, p in zip(star, exposure, seen, strict=True) if s == a}
        of_b = {e: p for s, e, p in zip(star, exposure, seen, strict=True) if s == b}
        lengths = [float(along @ (of_b[e] - of_a[e])) for e in of_a.keys() & of_b.keys()]
        found.append((np.std(lengths, ddof=1) if len(lengths) > 1 else np.nan, len(lengths)))
    return found


def weighted(image, weight, kernel):
    """Matched filtering by hand: significance and flux (kernels.matched_filter.weighted)."""
    m = len(kernel) // 2
    k = np.outer(kernel, kernel)
    w = np.pad(weight.astype(float), m)
    d = np.pad(image.astype(float), m)
    out, flux = np.full((2, *image.shape), np.nan)
    for i, j in np.ndindex(image.shape):
        here = np.s_[i : i + 2 * m + 1, j : j + 2 * m + 1]
        around = np.pad(weight, 1)[i : i + 3, j : j + 3]
        if weight[i, j] == 0 and np.sum(around == 0) - 1 > 3:
            continue
        power = np.sum(k**2 * w[here])
        if power > 0:
            light = np.sum(k * w[here] * d[here])
            out[i, j], flux[i, j] = light / np.sqrt(power), light / power
    return out, flux


def filter_peaks(image, threshold, first, last):
    """Pixels not less than their neighbours, of equal ones the first (matched_filter.peaks)."""
    found = []
    padded = np.pad(np.where(np.isnan(image), -np.inf, image), 1, constant_values=-np.inf)
    for i in range(first, last):
        for j in range(image.shape[1]):
            around = padded[i : i + 3, j : j + 3].ravel()
            if image[i, j] > threshold and np.argmax(around) == 4:
                found.append((i, j))
    return found


def saddle(image, i, j, k, m):
    """The lowest pixel on a straight way (kernels.groups.saddle)."""
    steps = max(abs(k - i), abs(m - j))
    t = np.arange(1, steps) / steps
    y, x = (np.floor(a + (b - a) * t + 0.5).astype(int) for a, b in ((i, k), (j, m)))
    values = image[y, x].astype(float)
    return np.min(values[~np.isnan(values)], initial=np.inf)


def losses(weight, share):
    """Pixels of much less weight than one near by (kernels.groups.losses)."""
    ny, nx = weight.shape
    return np.array(
        [
            [
                weight[i, j]
                <= np.float32(share) * weight[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].max()
                for j in range(nx)
            ]
            for i in range(ny)
        ]
    )


def mesh_noise(values):
    """Level and noise of what is no source (kernels.matched_filter.mesh_noise)."""
    kept = np.sort(values.astype(float))
    number = len(kept)
    for _ in range(10):
        level = np.median(kept)
        below = kept[kept < level]
        noise = np.sqrt(np.mean((below - level) ** 2))
        calm = below[below >= level - 5 * noise]
        noise = np.sqrt(np.mean((calm - level) ** 2))
        again = kept[kept <= level + 3 * noise]
        if len(again) == len(kept):
            break
        kept = again
    mean = kept.mean()
    if abs(mean - level) < 0.3 * noise:
        level = 2.5 * level - 1.5 * mean
    return level, noise, len(kept) / number


def kron(image, err, weight, labels, ellipse, reach, scale, least, correlation):
    """Flux, error and size of an ellipse (kernels.kron.kron); correlation of two pixels by lag."""
    label, x, y, major, minor, angle = ellipse
    ny, nx = image.shape
    pixels = []
    for i in range(-60, ny + 60):
        for j in range(-60, nx + 60):
            dx, dy = j - x, i - y
            u = (dx * np.cos(angle) + dy * np.sin(angle)) / major
            v = (dy * np.cos(angle) - dx * np.sin(angle)) / minor
            if (radius := np.hypot(u, v)) > reach:
                continue
            opposite = int(np.floor(2 * y - i + 0.5)), int(np.floor(2 * x - j + 0.5))
            for a, b in ((i, j), opposite):
                inside = 0 <= a < ny and 0 <= b < nx
                if inside and weight[a, b] > 0 and labels[a, b] in (0, label):
                    pixels.append((radius, float(image[a, b]), a, b))
                    break
            else:
                pixels.append((radius, np.nan, -1, -1))
    radius, light = np.array(pixels)[:, :2].T
    moment = np.nansum(radius * light) / np.nansum(light)
    size = max(min(scale * moment, reach), least)
    inner = radius <= size
    counts = np.zeros(image.shape)
    for r, _, a, b in pixels:
        if r <= size and a >= 0:
            counts[a, b] += 1
    share = np.mean(~np.isnan(light[inner]))
    return (
        np.nanmean(light[inner]) * inner.sum(),
        np.sqrt(pairs(counts * err.astype(float), correlation)) / share,
        size,
    )


def pairs(values, correlation):
    """Sum of the products of all pairs of pixels times their correlations, by lag."""
    reach = len(correlation) // 2
    total = 0.0
    for i, j in zip(*np.nonzero(values), strict=True):
        for k, m in zip(*np.nonzero(values), strict=True):
            if max(abs(k - i), abs(m - j)) <= reach:
                total += values[i, j] * values[k, m] * correlation[reach + k - i, reach + m - j]
    return total


def describe(image, err, weight, kernel, place):
    """What is under a kernel at a place (kernels.matched_filter.describe)."""
    m = len(kernel) // 2
    planes = [np.pad(plane.astype(float), m) for plane in (image, err, weight)]
    inside = np.s_[place[0] : place[0] + 2 * m + 1, place[1] : place[1] + 2 * m + 1]
    image, err, weight = (plane[inside] for plane in planes)
    both = np.outer(kernel, kernel)
    data = weight > 0
    image, err, weight = (np.where(data, plane, 0) for plane in (image, err, weight))
    covered = (both * data).sum() / both.sum()
    if not data.any():
        return np.nan, np.nan, np.nan, covered
    power = (both**2 * weight).sum()
    return (
        (both * weight * image).sum() / (both * weight).sum(),
        np.sqrt(power) / (both * weight).sum(),
        (both**2 * weight**2 * err**2).sum() / power,
        covered,
    )


def height_above(image, i, j):
    """By how much parabolas through a pixel and its neighbours are higher (kernels.…gain)."""
    total = 0.0
    for line, k in ((image[i], j), (image[:, j], i)):
        if 0 < k < len(line) - 1:
            if np.isnan(line[k - 1 : k + 2]).any():
                continue
            a, b, c = np.polyfit([-1, 0, 1], line[k - 1 : k + 2].astype(float), 2)
            if a < 0 and line[k] >= max(line[k - 1], line[k + 1]):
                total += c - b**2 / (4 * a) - line[k]
    return total


def heights(image, narrow, i, j):
    """Gain of a peak, and the narrow image's height beside it (kernels.matched_filter.heights)."""
    near = [
        (narrow[y, x], y, x)
        for y in range(max(i - 1, 0), min(i + 2, image.shape[0]))
        for x in range(max(j - 1, 0), min(j + 2, image.shape[1]))
        if not np.isnan(narrow[y, x])
    ]
    value, y, x = max(near)
    return 1 + height_above(image, i, j) / image[i, j], value + height_above(narrow, y, x)


def blank(sources, good, reach, width, least):
    """Good pixels that are not near sources (kernels.significance.blank)."""
    ny, nx = good.shape
    out = np.zeros(good.shape, bool)
    for i in range(ny):
        for j in range(nx):
            around = sources[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
            out[i, j] = good[i, j] and not around.any()
    for mesh in (np.s_[:, left : left + width] for left in range(0, nx, width)):
        if out[mesh].sum() < least * good[mesh].sum():
            out[mesh] = good[mesh]
    return out


def around(image, i, j, inner, outer):
    """Median in a ring (kernels.groups.around)."""
    y, x = np.indices(image.shape)
    square = (y - i) ** 2 + (x - j) ** 2
    ring = image[(square >= inner**2) & (square < outer**2)]
    ring = ring[~np.isnan(ring)]
    return float(np.median(ring.astype(float))) if len(ring) else 0.0


def separate(image, places, depth, share):
    """Which peaks a valley parts from all brighter ones that are kept (kernels.groups.separate)."""
    kept = []
    for k, (i, j) in enumerate(places):
        limit = image[i, j] - max(depth[k], share * image[i, j])
        kept.append(all(saddle(image, i, j, *places[o]) <= limit for o in range(k) if kept[o]))
    return kept


def share_out(image, member, places):
    """Pixels to peaks, the highest first, each to a neighbour's (kernels.groups.share_out)."""
    ny, nx = image.shape
    out = np.zeros(image.shape, int)
    for k, (i, j) in enumerate(places):
        out[i, j] = k + 1
    left = {(i, j) for i, j in zip(*np.nonzero(member), strict=True) if not out[i, j]}
    while left:
        edge = []
        for i, j in left:
            near = [
                (image[y, x], out[y, x])
                for y in range(max(i - 1, 0), min(i + 2, ny))
                for x in range(max(j - 1, 0), min(j + 2, nx))
                if out[y, x]
            ]
            if near:
                edge.append((image[i, j], i, j, near))
        if not edge:
            break
        _, i, j, near = max(edge)
        out[i, j] = max(near)[1]
        left.remove((i, j))
    return out


def spline_at(coefficients, below_y, weights_y, below_x, weights_x, low, high):
    """A bicubic spline at one pixel (kernels.surface.spline)."""
    part = coefficients[below_y : below_y + 4, below_x : below_x + 4]
    return float(np.clip(weights_y @ part @ weights_x, low, high))


def position_variances(image, err, sigma, x, y, correlation):
    """By moving each pixel (kernels.groups.position_variances); without NaN pixels."""
    i, j = np.indices(image.shape)

    def middle(image):
        place = np.array([x, y], float)
        for _ in range(60):
            square = (j - place[0]) ** 2 + (i - place[1]) ** 2
            light = (
                np.where(square <= (4 * sigma) ** 2, np.exp(-0.5 * square / sigma**2), 0) * image
            )
            slope = np.array([(light * (j - place[0])).sum(), (light * (i - place[1])).sum()])
            place = place + slope / light.sum()
        return place

    start, step = middle(image), 1e-3
    response = np.zeros((2, *image.shape))
    for r in range(image.shape[0]):
        for c in range(image.shape[1]):
            moved = image.astype(float).copy()
            moved[r, c] += step
            response[:, r, c] = (middle(moved) - start) / step * err[r, c]
    xx, yy, both = (pairs(each, correlation) for each in (*response, response.sum(axis=0)))
    return xx, yy, (both - xx - yy) / 2


def in_wings(peaks, counterparts, envelope, fwhm, constants):
    """Which peaks are own, and near a star (kernels.wings.in_wings); all of the sky is seen.

    Peaks as x, y, amplitude, whether it is wide; the brightest first.
    """
    core, ring, spike_share, possible, largest, counterpart, along, fall = constants
    kept, near = [True] * len(peaks), [False] * len(peaks)
    last = len(envelope) - 1

    def spike_at(distance):
        if distance < last:
            return np.interp(distance, np.arange(last + 1), envelope)
        return envelope[last] * (distance / last) ** fall

    for star, (sx, sy, light, _) in enumerate(peaks):
        for k in range(star + 1, len(peaks)):
            x, y, amplitude, wide = peaks[k]
            distance = np.hypot(x - sx, y - sy)
            if not kept[star] or not kept[k] or distance < 1.2 * fwhm:
                continue
            spike = spike_at(distance) * light
            near[k] |= spike > 0.1 * amplitude
            if amplitude > possible * spike or amplitude > largest * light:
                continue
            if amplitude <= (ring if wide or distance < core * fwhm else spike_share) * spike:
                kept[k] = False
                continue
            slack = max(1.5, 0.5 * fwhm) + 0.02 * distance
            for cx, cy, other in counterparts:
                u = ((cx - sx) * (sx - x) + (cy - sy) * (sy - y)) / distance
                v = abs((cx - sx) * (sy - y) - (cy - sy) * (sx - x)) / distance
                if v <= slack and abs(u - distance) <= along * distance:
                    kept[k] &= not counterpart < other / amplitude < 1 / counterpart
    return kept, near


# --- contradictions of exposures ----------------------------------------------------------------


def window_flux(image, err, x, y, sigma, inner, outer):
    """Fit a Gaussian window to the good pixels nearer than `inner`; sky is the ring's median."""
    rows, columns = np.indices(image.shape)
    distance = np.hypot(columns - x, rows - y)
    good = np.isfinite(image) & np.isfinite(err) & (err > 0)
    ring = good & (distance >= inner) & (distance < outer)
    window = np.where(distance < inner, np.exp(-0.5 * (distance / sigma) ** 2), 0.0)
    within = window[good]
    light = within @ (image[good] - np.median(image[ring]))
    return light / (within @ within), np.hypot.reduce(within * err[good]) / (within @ within)
