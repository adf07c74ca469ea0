"""What an encoding does to coordinates, measured before anything is trained.

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

MOST_SAMPLES = 2048
# Wider encodings are not fitted by a matrix, and their Gram matrix is taken over as many samples; narrower over more.
MOST_FEATURES = 1024
ANGLES = (0.0, 22.5, 45.0, 67.5, 90.0)


@torch.no_grad()
def measure_encoding(encoding: Encoding, domain: Domain, seed: int = 0) -> Report:
    """All that is known of an encoding on a domain.

    Args:
        encoding: Maps coordinates of the domain to features.
        domain: Gives samples and the training Nyquist frequency.
        seed: Of the positions at which properties are measured.

    Raises:
        UserError: The domain holds a single sample.
    """
    if domain.num_samples < 2:
        raise UserError(
            f"signal: {domain.size} holds one sample; an encoding is measured between two and more"
        )
    exact = copy.deepcopy(encoding).double()
    generator = torch.Generator().manual_seed(seed)
    anywhere = random_points(domain, MOST_SAMPLES, generator)
    return {
        "formula": encoding.formula(),
        "features": encoding.out_dim,
        "parameters": sum(p.numel() for p in encoding.parameters()),
        "bytes_per_sample": 4 * encoding.out_dim,
        "frequencies": frequencies(encoding, domain),
        "range": feature_range(exact, anywhere),
        "step_response": step_response(exact, domain, anywhere),
        "kernel": kernel(exact, domain, anywhere),
        "lipschitz": lipschitz(exact, domain, anywhere[:128]),
        "nearest": nearest(encoding, exact, domain),
        "gram": gram(exact, domain, generator),
        "shift": shifts(exact, domain, generator),
    }


def random_points(domain: Domain, count: int, generator: torch.Generator, margin: float = 0.0) -> Tensor:
    """Points (count, dim) float64 anywhere in the domain, at least `margin` off the high end of the first axis."""
    extent = torch.tensor(domain.extent, dtype=torch.float64)
    share = torch.rand(count, domain.dim, generator=generator, dtype=torch.float64)
    points = (2 * share - 1) * extent
    points[:, 0] = -extent[0] + share[:, 0] * (2 * extent[0] - margin)
    return points


def training_spacing(domain: Domain) -> float:
    return domain.spacing * domain.train_stride


def displacement(domain: Domain, distance: float | Tensor, angle: float = 0.0) -> Tensor:
    """A step (*, dim) of a length in training samples, from the first axis toward the second."""
    length = torch.as_tensor(distance, dtype=torch.float64)[..., None] * training_spacing(domain)
    direction = torch.zeros(domain.dim, dtype=torch.float64)
    direction[0] = math.cos(math.radians(angle))
    if domain.dim > 1:
        direction[1] = math.sin(math.radians(angle))
    return length * direction


def frequencies(encoding: Encoding, domain: Domain) -> Report | None:
    """Of the waves among the features: how many there are, and how many the training samples cannot tell apart."""
    vectors = encoding.feature_frequencies()
    if vectors is None:
        return None
    waves = vectors[vectors.norm(dim=-1) > 0].double()
    if not len(waves):
        return None
    waves = torch.unique(waves, dim=0)
    length = waves.norm(dim=-1)
    aliased = waves.abs().amax(dim=-1) >= domain.nyquist
    return {
        "count": len(waves),
        "values": length.sort().values.tolist(),
        "lowest": float(length.min()),
        "median": float(length.median()),
        "highest": float(length.max()),
        "highest_in_cycles_per_training_sample": float(length.max()) / (2 * domain.nyquist),
        "training_nyquist": domain.nyquist,
        "share_at_or_above_nyquist": float(aliased.double().mean()),
    }


def feature_range(encoding: Encoding, points: Tensor) -> Report:
    features = encoding(points)
    return {
        "min": features.amin(dim=0).tolist(),
        "max": features.amax(dim=0).tolist(),
        "std": features.std(dim=0).tolist(),
    }


def step_response(encoding: Encoding, domain: Domain, points: Tensor) -> list[float]:
    """Root mean square change of each feature when x grows by one training sample."""
    change = encoding(points + displacement(domain, 1.0)) - encoding(points)
    return change.square().mean(dim=0).sqrt().tolist()


def kernel(encoding: Encoding, domain: Domain, points: Tensor) -> Report:
    """gamma(x) . gamma(x + delta) over delta, divided by the mean of |gamma|^2.

    It is the mean over positions; `spread` tells how much it depends on the position (0: not at all). The width is
    where it first falls to one half, in training samples; None if it never does.
    """
    reach = max(1.0, domain.size[0] / domain.train_stride / 2)
    fine = torch.arange(0, min(16.0, reach), 1 / 64, dtype=torch.float64)
    coarse = torch.linspace(0, reach, 768, dtype=torch.float64)
    distance = torch.cat([fine, coarse[coarse > fine[-1]]])
    places = points[:32]
    closed = isinstance(encoding, Fourier) and not encoding.includes_input
    widths = []
    for angle in ANGLES if domain.dim > 1 else ANGLES[:1]:
        widths.append(
            half_width(distance, kernel_values(encoding, places, displacement(domain, distance, angle))[0])
        )
    values, spread = kernel_values(encoding, places, displacement(domain, distance))
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
        "anisotropy": max(known) / min(known) if len(known) == len(ANGLES) else None,
    }


def kernel_values(encoding: Encoding, places: Tensor, steps: Tensor) -> tuple[Tensor, float]:
    """Normalized kernel at steps (n, dim): the mean over places, and the largest spread between them."""
    if isinstance(encoding, Fourier) and not encoding.includes_input:
        weight = torch.ones(len(encoding.frequencies)) if encoding.amplitudes is None else encoding.amplitudes
        waves = torch.cos(math.pi * steps @ encoding.frequencies.T)
        return waves @ (weight.double() ** 2) / (weight.double() ** 2).sum(), 0.0
    start = encoding(places)
    energy = start.square().sum(dim=-1).mean()
    products = torch.stack([(encoding(place + steps) @ encoding(place)) for place in places]) / energy
    return products.mean(dim=0), float(products.std(dim=0).max())


def half_width(distance: Tensor, values: Tensor) -> float | None:
    below = (values < 0.5).nonzero()
    if not len(below):
        return None
    after = int(below[0])
    if after == 0:
        return None
    a, b = float(values[after - 1]), float(values[after])
    share = (a - 0.5) / (a - b)
    return float(distance[after - 1]) + share * float(distance[after] - distance[after - 1])


def lipschitz(encoding: Encoding, domain: Domain, points: Tensor) -> Report:
    """The largest change of the features per change of the coordinate: closed form, or the largest slope found.

    Infinite where a jump does not shrink with the step.
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
        constant = float(torch.linalg.matrix_norm(feature_jacobian(encoding, points), ord=2).max())
    return {
        "constant": constant,
        "per_training_sample": constant * training_spacing(domain),
        "closed_form": isinstance(encoding, Fourier),
    }


def feature_jacobian(encoding: Encoding, points: Tensor) -> Tensor:
    """Derivatives (n, F, dim) at points (n, dim), one feature after the other."""
    with torch.enable_grad():
        where = points.clone().requires_grad_()
        features = encoding(where).sum(dim=0)
        rows = [torch.autograd.grad(feature, where, retain_graph=True)[0] for feature in features]
    return torch.stack(rows, dim=1)


def jumps(encoding: Encoding, domain: Domain) -> bool:
    """Whether some feature jumps along some axis: the largest step found does not shrink under bisection."""
    return any(jumps_along(encoding, domain, axis) for axis in range(domain.dim))


def jumps_along(encoding: Encoding, domain: Domain, axis: int) -> bool:
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


def some_samples(domain: Domain) -> Tensor:
    """Coordinates (n, dim) of samples: through the center along each axis, and the neighbors of the center."""
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


def nearest(encoding: Encoding, exact: Encoding, domain: Domain) -> Report:
    """The smallest distance between the features of two samples, and how many look alike once rounded."""
    coords = some_samples(domain)
    features = exact(coords.double())
    rounded = encoding(coords)
    return {
        "samples": len(coords),
        "distance": smallest_distance(features),
        "alike_in_float32": alike(rounded),
        "alike_in_bfloat16": alike(rounded.bfloat16().float()),
    }


def alike(features: Tensor) -> int:
    """How many rows have an equal."""
    counts = torch.unique(features, dim=0, return_counts=True)[1]
    return int(counts[counts > 1].sum())


def smallest_distance(features: Tensor) -> float:
    """Between any two rows (n, F). Candidates come from inner products; their distances are then taken exactly."""
    square = features.square().sum(dim=-1)
    distance = square[:, None] + square - 2 * features @ features.T
    distance.fill_diagonal_(math.inf)
    candidates = distance.flatten().topk(min(4 * len(features), distance.numel()), largest=False).indices
    first, second = candidates // len(features), candidates % len(features)
    different = first != second
    return float((features[first[different]] - features[second[different]]).norm(dim=-1).min())


def gram(encoding: Encoding, domain: Domain, generator: torch.Generator) -> Report:
    """Of the matrix of inner products between features over the training samples, (F, F): eigenvalues and condition.

    Its rank counts eigenvalues above rounding; its condition, the largest over the smallest, is infinite where the rank
    is short. The largest stable step is 2 over the largest eigenvalue of the Hessian of a linear layer's mean squared
    error, for one output: gradient descent with a larger learning rate diverges.
    """
    counts = [-(-n // domain.train_stride) for n in domain.size]
    total = math.prod(counts)
    most = max(MOST_FEATURES, 2**20 // encoding.out_dim)
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


def shifts(encoding: Encoding, domain: Domain, generator: torch.Generator) -> list[Report]:
    """How well a linear map, an affine map and the exact rotation take gamma(x) to gamma(x + by training samples).

    By one training sample, and by an eighth of the first axis, along which they are. The maps are fitted at positions
    anywhere in the domain, four for each feature and some more, and scored at as many others; not for encodings wider
    than MOST_FEATURES.
    Residuals are relative: 1 is what the mean scores.
    """
    steps = sorted({1, max(1, -(-domain.size[0] // domain.train_stride) // 8)})
    fitted = encoding.out_dim <= MOST_FEATURES
    count = 4 * (encoding.out_dim + 1) + 64 if fitted else 64
    points = random_points(domain, 2 * count, generator, margin=steps[-1] * training_spacing(domain))
    before = encoding(points)
    after = {by: encoding(points + displacement(domain, float(by))) for by in steps}
    results: list[Report] = [{"by": by, "linear": None, "affine": None, "rotation": None} for by in steps]
    ones = torch.ones(len(points), 1, dtype=torch.float64)
    for name, design in (("linear", before), ("affine", torch.cat([before, ones], dim=-1))) if fitted else ():
        q, r = torch.linalg.qr(design[:count])
        inverse = torch.linalg.pinv(r, rtol=1e-10) @ q.T
        for result, target in zip(results, after.values(), strict=True):
            result[name] = residual(design[count:] @ (inverse @ target[:count]), target[count:])
    if isinstance(encoding, Fourier):
        for result, (by, target) in zip(results, after.items(), strict=True):
            turned = rotate_features(encoding, before[count:], displacement(domain, float(by)))
            result["rotation"] = residual(turned, target[count:])
    return results


def residual(prediction: Tensor, target: Tensor) -> float:
    """Root of the squared error over the squared deviation from the mean; 0 for targets that do not vary."""
    deviation = (target - target.mean(dim=0)).norm()
    return float((prediction - target).norm() / deviation) if deviation > 0 else 0.0


def rotate_features(encoding: Fourier, features: Tensor, step: Tensor) -> Tensor:
    """gamma(x + step) from gamma(x): each pair of sine and cosine turns by pi b . step; the input itself moves."""
    angle = math.pi * (encoding.frequencies @ step)
    inputs, waves = features.split([encoding.out_dim - 2 * len(angle), 2 * len(angle)], dim=-1)
    sine, cosine = (waves[..., ::2], waves[..., 1::2]) if encoding.interleaved else waves.chunk(2, dim=-1)
    turned = [sine * angle.cos() + cosine * angle.sin(), cosine * angle.cos() - sine * angle.sin()]
    if encoding.interleaved:
        turned = [torch.stack(turned, dim=-1).flatten(-2)]
    return torch.cat([inputs + step if encoding.includes_input else inputs, *turned], dim=-1)
