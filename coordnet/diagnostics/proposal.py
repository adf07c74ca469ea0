"""Which frequencies to encode with, read off a signal's own training samples."""

import math
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, fftn

Values = NDArray[np.floating]

MOST_SAMPLES = 2**16
# Chosen on the signals that `scripts/proposal.py --signals tuned` fits.
NOISE = 0.3
USUAL_SHARE = 0.06
DOUBT = 0.1
HIDDEN_LAYERS = 3
SCALES = 33
# Mean power of values that differ by the rounding of float32 only.
ROUNDING = 1e-12


def infinite_width_ntk(cosine: Values, depth: int = HIDDEN_LAYERS) -> Values:
    """The neural tangent kernel of an infinitely wide ReLU network on features of unit length, over their cosine.

    Arc-cosine recursion of Cho & Saul (2009) and Jacot et al. (2018), without biases: the derivative's kernel is
    (pi - a) / pi and the layer's own is (sin a + (pi - a) cos a) / pi, with a the angle. `depth` hidden layers.
    """
    layer = tangent = cosine
    for _ in range(depth):
        angle = np.arccos(layer.clip(-1, 1))
        slope = (math.pi - angle) / math.pi
        layer = (np.sin(angle) + (math.pi - angle) * np.cos(angle)) / math.pi
        tangent = layer + slope * tangent
    return tangent


def kernel_eigenvalues(shape: tuple[int, ...], nyquist: float, scale: float) -> Values:
    """Of the kernel of a network on Gaussian features, for the waves of DCT-II on a grid of training samples.

    For these waves to be its eigenvectors the samples are taken to go on mirrored beyond each border.

    Args:
        shape: GridComparison per axis.
        nyquist: Of the samples, in cycles across the domain.
        scale: Of the features, in cycles across the domain; their kernel is exp(-pi^2 scale^2 d^2 / 2).

    Returns:
        Eigenvalues, of that shape; the kernel is 0 far away and 1 at distance 0.
    """
    lines = []
    for n in shape:
        # A cosine wave on n samples is one that is periodic over 2n, where the kernel is circulant.
        step = np.arange(2 * n)
        distance = np.minimum(step, 2 * n - step) / nyquist
        lines.append(np.exp(-((math.pi * scale * distance) ** 2) / 2))
    kernel = infinite_width_ntk(reduce(np.multiply.outer, lines)) - infinite_width_ntk(np.zeros(1))
    eigenvalues = fftn(kernel / kernel.flat[0]).real
    return eigenvalues[tuple(slice(n) for n in shape)].clip(min=0)


def leave_one_out(power: Values, eigenvalues: Values) -> float:
    """Mean squared error at each sample when kernel regression predicts it from all others.

    The closed form e_i = (K^-1 y)_i / (K^-1)_ii, with the mean of the diagonal for each of its entries.

    Args:
        power: Squared coefficients of the samples, for the same waves as the eigenvalues.
        eigenvalues: Of the kernel matrix K, noise included.
    """
    return float((power / eigenvalues**2).mean() / (1 / eigenvalues).mean() ** 2)


def propose(samples: Values, nyquist: float) -> dict[str, Any]:
    """A scale for Gaussian features, a number of octaves for positional encoding, and the reason.

    A wide ReLU network on Gaussian features learns about as kernel regression does with its tangent kernel. So the
    scale is one whose kernel predicts the training samples well from each other (leave-one-out), with noise of NOISE
    times the kernel itself in place of early stopping. What is usual counts too: a scale that is a factor of e away
    from USUAL_SHARE of the training Nyquist must lower that error by a tenth (DOUBT) to be preferred, e^2 away by a
    third. Octaves go up to the one nearest to twice that scale, but not beyond a quarter of the training
    Nyquist, from where on they leave gaps too wide to fill.

    Args:
        samples: (*axes, channels), the training samples on their grid.
        nyquist: Their Nyquist frequency in cycles across the domain.
    """
    side = int(MOST_SAMPLES ** (1 / (samples.ndim - 1)))
    window = samples[
        tuple(slice(max(0, n - side) // 2, max(0, n - side) // 2 + side) for n in samples.shape[:-1])
    ]
    axes = tuple(range(window.ndim - 1))
    centered = (window - window.mean(axis=axes, keepdims=True)).astype(np.float64)
    power = (dctn(centered, axes=axes, norm="ortho") ** 2).sum(axis=-1)
    if power.mean() < ROUNDING:
        power = np.zeros_like(power)
    scales = np.geomspace(nyquist / 64, nyquist / 2, SCALES)
    tiny = np.finfo(np.float64).tiny
    errors = [
        leave_one_out(power, NOISE + kernel_eigenvalues(window.shape[:-1], nyquist, scale))
        for scale in scales
    ]
    doubts = DOUBT * np.log(scales / (USUAL_SHARE * nyquist)) ** 2
    scale = float(f"{scales[int(np.argmin(np.log(np.maximum(errors, tiny)) + doubts))]:.2g}")
    octaves = max(1, min(1 + round(math.log2(2 * scale)), 1 + math.floor(math.log2(nyquist / 4))))
    return {
        "scale": scale,
        "num_frequencies": octaves,
        "scales_tried": scales.tolist(),
        "leave_one_out_error": errors,
        "reason": reason(scale, octaves, nyquist, errors),
    }


def reason(scale: float, octaves: int, nyquist: float, errors: list[float]) -> str:
    best = min(errors)
    top = 2 ** (octaves - 1)
    held = top < 2 ** round(math.log2(2 * scale))
    why = "held at a quarter of the training Nyquist" if held else "the octave nearest to twice that scale"
    least, most = ratio(errors[0], best), ratio(errors[-1], best)
    return (
        f"encoding=gaussian encoding.scale={scale:g}, {scale / nyquist:.2g} of the training Nyquist "
        f"({USUAL_SHARE:g} is usual): of {SCALES} scales, kernel regression with these features predicts each training "
        f"sample from all others about best (error at the smallest scale {least}, at the largest {most}). "
        f"With octaves, encoding=positional encoding.num_frequencies={octaves} encoding.include_input=true: "
        f"up to {top} cycles, {why}"
    )


def ratio(error: float, best: float) -> str:
    return f"{error / best:.2g} times the least" if best > 0 else "the same"
