"""A proposal for the frequencies of an encoding, from a signal's own training samples."""

import math
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, fftn

Values = NDArray[np.floating]

_MAX_SAMPLES = 2**16
# These values were chosen on the signals that `scripts/proposal.py --signals tuned` fits.
NOISE = 0.3
USUAL_SHARE = 0.06
DOUBT = 0.1
HIDDEN_LAYERS = 3
SCALES = 33
# Mean power of the rounding errors of float32.
_ROUNDING = 1e-12


def infinite_width_ntk(cosine: Values, depth: int = HIDDEN_LAYERS) -> Values:
    """Compute the tangent kernel of an infinitely wide ReLU network without biases on features of unit length.

    The arc-cosine recursion of Cho & Saul (2009) and Jacot et al. (2018) multiplies the kernel of the derivative,
    (pi - a) / pi, and adds the kernel of the layer, (sin a + (pi - a) cos a) / pi, with a the angle.

    Args:
        cosine: Cosines between features, any shape.
        depth: Number of hidden layers.
    """
    layer = tangent = cosine
    for _ in range(depth):
        angle = np.arccos(layer.clip(-1, 1))
        slope = (math.pi - angle) / math.pi
        layer = (np.sin(angle) + (math.pi - angle) * np.cos(angle)) / math.pi
        tangent = layer + slope * tangent
    return tangent


def kernel_eigenvalues(shape: tuple[int, ...], nyquist: float, scale: float) -> Values:
    """Compute the eigenvalues of the kernel of a network on Gaussian features, for the waves of DCT-II on a grid.

    These waves are the eigenvectors of the kernel if the samples are mirrored at each border.

    Args:
        shape: Number of training samples along each axis.
        nyquist: Nyquist frequency of the samples in cycles across the domain.
        scale: Scale of the features in cycles across the domain; their kernel is exp(-pi^2 scale^2 d^2 / 2).

    Returns:
        Eigenvalues of the given shape. The kernel is shifted and scaled to 0 at infinity and 1 at distance 0.
    """
    lines = []
    for n in shape:
        # A cosine wave on n samples has period 2n, and over 2n samples the kernel is circulant.
        step = np.arange(2 * n)
        distance = np.minimum(step, 2 * n - step) / nyquist
        lines.append(np.exp(-((math.pi * scale * distance) ** 2) / 2))
    kernel = infinite_width_ntk(reduce(np.multiply.outer, lines)) - infinite_width_ntk(np.zeros(1))
    eigenvalues = fftn(kernel / kernel.flat[0]).real
    return eigenvalues[tuple(slice(n) for n in shape)].clip(min=0)


def leave_one_out(power: Values, eigenvalues: Values) -> float:
    """Return the mean squared error of kernel regression that predicts each sample from all others.

    The closed form is e_i = (K^-1 y)_i / (K^-1)_ii, with each diagonal entry replaced by the mean of the diagonal.

    Args:
        power: Squared coefficients of the samples, for the same waves as the eigenvalues.
        eigenvalues: Eigenvalues of the kernel matrix K, noise included.
    """
    return float((power / eigenvalues**2).mean() / (1 / eigenvalues).mean() ** 2)


def propose(samples: Values, nyquist: float) -> dict[str, Any]:
    """Propose a scale for Gaussian features and a number of octaves for positional encoding, with the reason.

    A wide ReLU network on Gaussian features learns about like kernel regression with the network's tangent kernel. So
    the proposed scale is one whose kernel predicts the training samples well from each other (leave-one-out). Noise of
    NOISE times the kernel replaces early stopping. The usual scale, USUAL_SHARE of the training Nyquist frequency, is
    preferred: a scale that differs by a factor of e must lower the error by a tenth (DOUBT), and by a factor of e^2 by
    a third. The last octave is the one nearest to twice the scale, but at most a quarter of the training Nyquist
    frequency, because higher octaves leave gaps that are too wide to fill.

    Args:
        samples: Training samples (*axes, channels) on their grid.
        nyquist: Nyquist frequency of the training samples in cycles across the domain.

    Returns:
        "scale", "num_frequencies", "scales_tried", "leave_one_out_error" and "reason".
    """
    side = int(_MAX_SAMPLES ** (1 / (samples.ndim - 1)))
    window = samples[
        tuple(slice(max(0, n - side) // 2, max(0, n - side) // 2 + side) for n in samples.shape[:-1])
    ]
    axes = tuple(range(window.ndim - 1))
    centered = (window - window.mean(axis=axes, keepdims=True)).astype(np.float64)
    power = (dctn(centered, axes=axes, norm="ortho") ** 2).sum(axis=-1)
    if power.mean() < _ROUNDING:
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
        "reason": _reason(scale, octaves, nyquist, errors),
    }


def _reason(scale: float, octaves: int, nyquist: float, errors: list[float]) -> str:
    best = min(errors)
    top = 2 ** (octaves - 1)
    held = top < 2 ** round(math.log2(2 * scale))
    why = "held at a quarter of the training Nyquist" if held else "the octave nearest to twice that scale"
    least, most = _ratio(errors[0], best), _ratio(errors[-1], best)
    return (
        f"encoding=gaussian encoding.scale={scale:g}, {scale / nyquist:.2g} of the training Nyquist "
        f"({USUAL_SHARE:g} is usual): of {SCALES} scales, kernel regression with these features predicts each training "
        f"sample from all others about best (error at the smallest scale {least}, at the largest {most}). "
        f"With octaves, encoding=positional encoding.num_frequencies={octaves} encoding.include_input=true: "
        f"up to {top} cycles, {why}"
    )


def _ratio(error: float, best: float) -> str:
    return f"{error / best:.2g} times the least" if best > 0 else "the same"
