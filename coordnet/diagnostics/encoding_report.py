"""Properties of an encoding, measured before training.

`measure_encoding` returns plain numbers and lists. Distances along an axis are in training samples unless noted;
frequencies are in cycles across the domain.
"""

import copy
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import Fourier
from coordnet.errors import UserError

Report = dict[str, Any]
Array = NDArray[np.floating]

_MAX_SAMPLES = 2048
# No maps are fitted to wider encodings, and their Gram matrix uses this number of samples; others use more samples.
_MAX_FEATURES = 1024
# Degrees from the first axis toward the second.
_ANGLES = (0.0, 22.5, 45.0, 67.5, 90.0)


@torch.no_grad()
def measure_encoding(encoding: Encoding, domain: Domain, seed: int = 0) -> Report:
    """Measure an encoding on a domain.

    Args:
        encoding: Encoding from coordinates of the domain to features.
        domain: Domain with the samples and the training Nyquist frequency.
        seed: Seed of the positions at which properties are measured.

    Returns:
        Formula, sizes, frequencies, ranges, step response, kernel, Lipschitz constant, nearest features, Gram matrix
        and residuals of shifts.

    Raises:
        UserError: The domain has a single sample.
    """
    if domain.num_samples < 2:
        raise UserError(
            f"signal: the size {domain.size} is a single sample; an encoding is measured between two samples or more"
        )
    exact = copy.deepcopy(encoding).double()
    generator = torch.Generator().manual_seed(seed)
    anywhere = _random_points(domain, _MAX_SAMPLES, generator)
    return {
        "formula": encoding.formula(),
        "features": encoding.out_dim,
        "parameters": sum(p.numel() for p in encoding.parameters()),
        "bytes_per_sample": 4 * encoding.out_dim,
        "frequencies": _frequencies(encoding, domain),
        "range": _feature_range(exact, anywhere),
        "step_response": _step_response(exact, domain, anywhere),
        "kernel": _kernel(exact, domain, anywhere),
        "lipschitz": _lipschitz(exact, domain, anywhere[:128]),
        "nearest": _nearest(encoding, exact, domain),
        "gram": gram(exact, domain, generator),
        "shift": _shifts(exact, domain, generator),
    }


def _random_points(domain: Domain, count: int, generator: torch.Generator, margin: float = 0.0) -> Tensor:
    """Draw points (count, dim), float64, in the domain, at least `margin` below the upper end of the first axis."""
    extent = torch.tensor(domain.extent, dtype=torch.float64)
    share = torch.rand(count, domain.dim, generator=generator, dtype=torch.float64)
    points = (2 * share - 1) * extent
    points[:, 0] = -extent[0] + share[:, 0] * (2 * extent[0] - margin)
    return points


def _training_spacing(domain: Domain) -> float:
    """Return the distance between neighboring training samples."""
    return domain.spacing[0] * domain.train_stride


def displacement(domain: Domain, distance: float | Tensor, angle: float = 0.0) -> Tensor:
    """Return a displacement (*, dim) of a length in training samples, at an angle from the first axis to the second."""
    length = torch.as_tensor(distance, dtype=torch.float64)[..., None] * _training_spacing(domain)
    direction = torch.zeros(domain.dim, dtype=torch.float64)
    direction[0] = math.cos(math.radians(angle))
    if domain.dim > 1:
        direction[1] = math.sin(math.radians(angle))
    return length * direction


def _frequencies(encoding: Encoding, domain: Domain) -> Report | None:
    """Summarize the waves among the features: their frequencies, and the share at or above the training Nyquist."""
    vectors = encoding.feature_frequencies()
    if vectors is None:
        return None
    waves = vectors[vectors.norm(dim=-1) > 0].double()
    if not len(waves):
        return None
    waves = torch.unique(waves, dim=0)
    length = waves.norm(dim=-1)
    aliased = (waves.abs() >= waves.new_tensor(domain.nyquist)).any(dim=-1)
    return {
        "count": len(waves),
        "values": length.sort().values.tolist(),
        "lowest": float(length.min()),
        "median": float(length.median()),
        "highest": float(length.max()),
        "highest_in_cycles_per_training_sample": float(length.max()) / (2 * max(domain.nyquist)),
        "training_nyquist": max(domain.nyquist),
        "share_at_or_above_nyquist": float(aliased.double().mean()),
    }


def _feature_range(encoding: Encoding, points: Tensor) -> Report:
    """Return minimum, maximum and standard deviation of each feature."""
    features = encoding(points)
    return {
        "min": features.amin(dim=0).tolist(),
        "max": features.amax(dim=0).tolist(),
        "std": features.std(dim=0).tolist(),
    }


def _step_response(encoding: Encoding, domain: Domain, points: Tensor) -> list[float]:
    """Return the root mean square change of each feature when x grows by one training sample."""
    change = encoding(points + displacement(domain, 1.0)) - encoding(points)
    return change.square().mean(dim=0).sqrt().tolist()


def _kernel(encoding: Encoding, domain: Domain, points: Tensor) -> Report:
    """Measure gamma(x) . gamma(x + delta) over delta, divided by the mean of |gamma|^2.

    The kernel is the mean over positions, and `spread` is its largest standard deviation over positions (0 for a
    stationary kernel). The width is the distance in training samples at which the kernel first falls to one half, or
    None if it never does.
    """
    reach = max(1.0, domain.size[0] / domain.train_stride / 2)
    fine = torch.arange(0, min(16.0, reach), 1 / 64, dtype=torch.float64)
    coarse = torch.linspace(0, reach, 768, dtype=torch.float64)
    distance = torch.cat([fine, coarse[coarse > fine[-1]]])
    places = points[:32]
    closed = isinstance(encoding, Fourier) and not encoding.includes_input
    widths = []
    for angle in _ANGLES if domain.dim > 1 else _ANGLES[:1]:
        widths.append(
            half_width(distance, _kernel_values(encoding, places, displacement(domain, distance, angle))[0])
        )
    values, spread = _kernel_values(encoding, places, displacement(domain, distance))
    known = [width for width in widths if width is not None]
    width = widths[0]
    lobe = values[distance > 4 * width] if width is not None else values[:0]
    return {
        "closed_form": closed,
        "distance": distance.tolist(),
        "value": values.tolist(),
        "spread": spread,
        "width": width,
        "highest_beyond_four_widths": float(lobe.max()) if len(lobe) else None,
        "widths_by_angle": widths,
        "anisotropy": max(known) / min(known) if len(known) == len(_ANGLES) else None,
    }


def _kernel_values(encoding: Encoding, places: Tensor, steps: Tensor) -> tuple[Tensor, float]:
    """Return the normalized kernel at displacements (n, dim): the mean over places, and the largest deviation."""
    if isinstance(encoding, Fourier) and not encoding.includes_input:
        weight = torch.ones(len(encoding.frequencies)) if encoding.amplitudes is None else encoding.amplitudes
        waves = torch.cos(math.pi * steps @ encoding.frequencies.T)
        return waves @ (weight.double() ** 2) / (weight.double() ** 2).sum(), 0.0
    start = encoding(places)
    energy = start.square().sum(dim=-1).mean()
    products = torch.stack([(encoding(place + steps) @ encoding(place)) for place in places]) / energy
    return products.mean(dim=0), float(products.std(dim=0).max())


def half_width(distance: Tensor, values: Tensor) -> float | None:
    """Return the distance at which values first fall to one half, interpolated linearly, or None."""
    below = (values < 0.5).nonzero()
    if not len(below):
        return None
    after = int(below[0])
    if after == 0:
        return None
    a, b = float(values[after - 1]), float(values[after])
    share = (a - 0.5) / (a - b)
    return float(distance[after - 1]) + share * float(distance[after] - distance[after - 1])


def _lipschitz(encoding: Encoding, domain: Domain, points: Tensor) -> Report:
    """Return the Lipschitz constant of the features: closed form, or the largest slope at the points.

    The constant is infinite if a feature jumps.
    """
    if isinstance(encoding, Fourier):
        weight = 1.0 if encoding.amplitudes is None else encoding.amplitudes.double()[:, None]
        waves = math.pi * weight * encoding.frequencies.double()
        metric = waves.T @ waves + (
            torch.eye(encoding.in_dim, dtype=torch.float64) if encoding.includes_input else 0
        )
        constant = float(torch.linalg.eigvalsh(metric)[-1].sqrt())
    elif jumps(encoding, domain):
        constant = math.inf
    else:
        constant = float(torch.linalg.matrix_norm(_feature_jacobian(encoding, points), ord=2).max())
    return {
        "constant": constant,
        "per_training_sample": constant * _training_spacing(domain),
        "closed_form": isinstance(encoding, Fourier),
    }


def _feature_jacobian(encoding: Encoding, points: Tensor) -> Tensor:
    """Return derivatives (n, F, dim) at points (n, dim), computed feature by feature."""
    with torch.enable_grad():
        where = points.clone().requires_grad_()
        features = encoding(where).sum(dim=0)
        rows = [torch.autograd.grad(feature, where, retain_graph=True)[0] for feature in features]
    return torch.stack(rows, dim=1)


def jumps(encoding: Encoding, domain: Domain) -> bool:
    """Return True if a feature jumps along some axis: the largest change on a grid does not shrink by bisection."""
    return any(_jumps_along(encoding, domain, axis) for axis in range(domain.dim))


def _jumps_along(encoding: Encoding, domain: Domain, axis: int) -> bool:
    line = torch.zeros(4097, domain.dim, dtype=torch.float64)
    extent = domain.extent[axis]
    line[:, axis] = torch.linspace(-extent, extent, len(line), dtype=torch.float64) * (1 - 1e-9)
    change = (encoding(line[1:]) - encoding(line[:-1])).norm(dim=-1)
    place = int(change.argmax())
    low, high = line[place], line[place + 1]
    for _ in range(30):
        middle = (low + high) / 2
        left = (encoding(middle) - encoding(low)).norm()
        right = (encoding(high) - encoding(middle)).norm()
        low, high = (low, middle) if left > right else (middle, high)
    return bool((encoding(high) - encoding(low)).norm() > 1e-3 * change[place] > 0)


def _sample_coords(domain: Domain) -> Tensor:
    """Return coordinates (n, dim) of samples on lines through the center along each axis, and around the center."""
    size = torch.tensor(domain.size)
    lines = []
    for axis in range(domain.dim):
        n = domain.size[axis]
        middle = torch.arange(max(0, n // 2 - 512), min(n, n // 2 + 512))
        spread = torch.linspace(0, n - 1, min(n, 1024)).long()
        line = (size // 2).repeat(len(middle) + len(spread), 1)
        line[:, axis] = torch.cat([middle, spread])
        lines.append(line)
    side = max(2, round(1024 ** (1 / domain.dim)))
    ranges = [
        torch.arange(max(0, n // 2 - side // 2), min(n, n // 2 + side - side // 2)) for n in domain.size
    ]
    block = torch.cartesian_prod(*ranges).reshape(-1, domain.dim)
    return domain.index_to_coords(torch.unique(torch.cat([*lines, block]), dim=0))


def _nearest(encoding: Encoding, exact: Encoding, domain: Domain) -> Report:
    """Return the smallest distance between the features of two samples, and the numbers of equal samples."""
    coords = _sample_coords(domain)
    features = exact(coords.double())
    rounded = encoding(coords)
    return {
        "samples": len(coords),
        "distance": smallest_distance(features),
        "alike_in_float32": _count_equal(rounded),
        "alike_in_bfloat16": _count_equal(rounded.bfloat16().float()),
    }


def _count_equal(features: Tensor) -> int:
    """Count the rows that equal another row."""
    counts = torch.unique(features, dim=0, return_counts=True)[1]
    return int(counts[counts > 1].sum())


def smallest_distance(features: Tensor) -> float:
    """Return the smallest distance between two rows (n, F): candidates by inner products, then exact distances."""
    square = features.square().sum(dim=-1)
    distance = square[:, None] + square - 2 * features @ features.T
    distance.fill_diagonal_(math.inf)
    candidates = distance.flatten().topk(min(4 * len(features), distance.numel()), largest=False).indices
    first, second = candidates // len(features), candidates % len(features)
    different = first != second
    return float((features[first[different]] - features[second[different]]).norm(dim=-1).min())


def gram(encoding: Encoding, domain: Domain, generator: torch.Generator) -> Report:
    """Measure the Gram matrix (F, F), the inner products between features over the training samples.

    The rank counts eigenvalues above rounding. The condition number, the largest eigenvalue over the smallest, is
    infinite for a rank below F. The largest stable step is 2 over the largest eigenvalue of the Hessian of the mean
    squared error of a linear layer with one output: gradient descent with a larger learning rate diverges.
    """
    counts = [-(-n // domain.train_stride) for n in domain.size]
    total = math.prod(counts)
    most = max(_MAX_FEATURES, 2**20 // encoding.out_dim)
    flat = torch.arange(total) if total <= most else torch.randint(total, (most,), generator=generator)
    index = []
    for n in counts:
        index.append(flat % n * domain.train_stride)
        flat = flat // n
    features = encoding(domain.index_to_coords(torch.stack(index, dim=-1)).double())
    singular = torch.linalg.svdvals(torch.linalg.qr(features / math.sqrt(len(features)), mode="r").R)
    tiny = singular[0] * max(features.shape) * torch.finfo(torch.float64).eps
    rank = int((singular > tiny).sum())
    eigenvalues = singular**2
    full = rank == encoding.out_dim
    return {
        "samples": len(features),
        "eigenvalues": eigenvalues.tolist(),
        "rank": rank,
        "effective_rank": float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum()),
        "condition": float(eigenvalues[0] / eigenvalues[-1]) if full else math.inf,
        "largest_stable_step": float(1 / eigenvalues[0]),
    }


def _shifts(encoding: Encoding, domain: Domain, generator: torch.Generator) -> list[Report]:
    """Score a linear map, an affine map and the exact rotation as predictors of gamma(x + shift) from gamma(x).

    The shifts are one training sample and an eighth of the first axis, along the first axis. The maps are fitted at
    random positions, more than four for each feature, and scored at as many others. Encodings wider than _MAX_FEATURES
    get no maps. Residuals are relative: the mean scores 1.
    """
    steps = sorted({1, max(1, -(-domain.size[0] // domain.train_stride) // 8)})
    fitted = encoding.out_dim <= _MAX_FEATURES
    count = 4 * (encoding.out_dim + 1) + 64 if fitted else 64
    points = _random_points(domain, 2 * count, generator, margin=steps[-1] * _training_spacing(domain))
    before = encoding(points)
    after = {by: encoding(points + displacement(domain, float(by))) for by in steps}
    results: list[Report] = [{"by": by, "linear": None, "affine": None, "rotation": None} for by in steps]
    ones = torch.ones(len(points), 1, dtype=torch.float64)
    for name, design in (("linear", before), ("affine", torch.cat([before, ones], dim=-1))) if fitted else ():
        q, r = torch.linalg.qr(design[:count])
        inverse = torch.linalg.pinv(r, rtol=1e-10) @ q.T
        for result, target in zip(results, after.values(), strict=True):
            result[name] = _residual(design[count:] @ (inverse @ target[:count]), target[count:])
    if isinstance(encoding, Fourier):
        for result, (by, target) in zip(results, after.items(), strict=True):
            turned = rotate_features(encoding, before[count:], displacement(domain, float(by)))
            result["rotation"] = _residual(turned, target[count:])
    return results


def _residual(prediction: Tensor, target: Tensor) -> float:
    """Return the root of squared error over squared deviation from the mean; 0 for constant targets."""
    deviation = (target - target.mean(dim=0)).norm()
    return float((prediction - target).norm() / deviation) if deviation > 0 else 0.0


def rotate_features(encoding: Fourier, features: Tensor, step: Tensor) -> Tensor:
    """Compute gamma(x + step) from gamma(x): each sine and cosine pair turns by pi b . step, and the input moves."""
    angle = math.pi * (encoding.frequencies @ step)
    inputs, waves = features.split([encoding.out_dim - 2 * len(angle), 2 * len(angle)], dim=-1)
    sine, cosine = (waves[..., ::2], waves[..., 1::2]) if encoding.interleaved else waves.chunk(2, dim=-1)
    turned = [sine * angle.cos() + cosine * angle.sin(), cosine * angle.cos() - sine * angle.sin()]
    if encoding.interleaved:
        turned = [torch.stack(turned, dim=-1).flatten(-2)]
    return torch.cat([inputs + step if encoding.includes_input else inputs, *turned], dim=-1)
