"""Every shipped Fourier encoding against its source: the source's formula, coordinates, order of features and numbers.

`x` is ours, in [-1, 1]; `u` = (x + 1) / 2 in [0, 1] and `v` = x / 2 in [-1/2, 1/2] are those of sources. Ours is all
sines before all cosines, each with all bands of x before those of y: features of shape (wave, axis, band).
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support import make_config

from coordnet.config.build import build
from coordnet.coords import Domain
from coordnet.encodings.fourier import Fourier, positional

Array = NDArray[np.float64]
SQUARE = Domain((512, 512), 2)
POINT = np.array([0.3, -0.45])


def preset(name: str, domain: Domain, *overrides: str) -> Fourier:
    """The encoding that `coordnet train encoding=name` trains."""
    encoding = build(make_config(f"encoding={name}", *overrides)["encoding"], "encoding", domain=domain)
    assert isinstance(encoding, Fourier)
    return encoding


def features(encoding: Fourier, x: Any, *footprint: torch.Tensor) -> Array:
    result: Array = encoding(torch.as_tensor(x, dtype=torch.float32), *footprint).double().numpy()
    return result


def rounding(encoding: Fourier) -> float:
    """The error of float32: x - o, pi f, their product and its sum are each off by 2^-24 of a phase below 2 pi f."""
    return 1e-6 + 4 * 2**-24 * 2 * math.pi * encoding.frequencies.abs().sum(-1).max().item()


# NeRF's presets


def test_nerf_bmild() -> None:
    """x, then per band sin(2^k x), cos(2^k x) of all axes: (band, wave, axis)."""
    encoding = preset("nerf_bmild", SQUARE)
    theirs = np.concatenate([wave(2.0**k * POINT) for k in range(10) for wave in (np.sin, np.cos)])
    ours = [*POINT, *theirs.reshape(10, 2, 2).transpose(1, 2, 0).ravel()]
    assert features(encoding, POINT) == pytest.approx(ours, abs=rounding(encoding))


def test_nerf_bmild_golden() -> None:
    """kappa = 1 at x = 0.3: x, sin x, cos x, sin 2x, cos 2x."""
    got = features(preset("nerf_bmild", Domain((64,))), [0.3])
    assert got[[0, 1, 11, 2, 12]] == pytest.approx([0.3, 0.295520, 0.955336, 0.564642, 0.825336], abs=2e-6)
    directions = preset("nerf_bmild", Domain((64, 64, 64)), "encoding.num_frequencies=4")
    assert directions.out_dim == 27


@pytest.mark.parametrize("size, stride, bands", [((512, 512), 2, 6), ((512, 512), 1, 7), ((640, 100), 1, 4)])
def test_nerf_siren(size: tuple[int, ...], stride: int, bands: int) -> None:
    """x, then per band and axis sin(2^k pi x), cos(2^k pi x): (band, axis, wave)."""
    encoding = preset("nerf_siren", Domain(size, stride))
    theirs = [wave(2.0**k * math.pi * x) for k in range(bands) for x in POINT for wave in (np.sin, np.cos)]
    ours = [*POINT, *np.reshape(theirs, (bands, 2, 2)).transpose(2, 1, 0).ravel()]
    assert features(encoding, POINT) == pytest.approx(ours, abs=rounding(encoding))


def test_nerf_siren_golden() -> None:
    """kappa = pi at x = 0.3; 16 samples give L = log2(16 / 4) = 2."""
    got = features(preset("nerf_siren", Domain((16,))), [0.3])
    assert got[[0, 1, 3, 2, 4]] == pytest.approx([0.3, 0.809017, 0.587785, 0.951057, -0.309017], abs=2e-6)


def test_nerf_tcnn() -> None:
    """Per axis and band sin(2^k pi u), cos(2^k pi u): (axis, band, wave)."""
    encoding = preset("nerf_tcnn", SQUARE)
    u = (POINT + 1) / 2
    theirs = [
        np.sin(2.0**k * math.pi * c + shift) for c in u for k in range(12) for shift in (0, math.pi / 2)
    ]
    ours = np.reshape(theirs, (2, 12, 2)).transpose(2, 0, 1).ravel()
    assert features(encoding, POINT) == pytest.approx(ours, abs=rounding(encoding))


def test_nerf_tcnn_golden() -> None:
    """kappa = pi at u = 0.3, which is x = -0.4."""
    got = features(preset("nerf_tcnn", Domain((64,))), [-0.4])
    assert got[[0, 12, 1, 13]] == pytest.approx([0.809017, 0.587785, 0.951057, -0.309017], abs=2e-6)


def test_nerf_nerfstudio() -> None:
    """All sines and then all cosines of 2 pi u 2^linspace(0, 8, 10), axis by axis, and the input last."""
    encoding = preset("nerf_nerfstudio", SQUARE)
    u = (POINT + 1) / 2
    phases = (2 * math.pi * u[:, None] * 2 ** np.linspace(0, 8, 10)).ravel()
    theirs = np.concatenate([np.sin(phases), np.sin(phases + math.pi / 2), u])
    ours = [*(2 * theirs[40:] - 1), *theirs[:40]]
    assert features(encoding, POINT) == pytest.approx(ours, abs=rounding(encoding))


def test_nerf_nerfstudio_golden() -> None:
    """2 pi f u at u = 0.3 with f = 1 and 2^(8/9) = 1.851749."""
    got = features(preset("nerf_nerfstudio", Domain((64,))), [-0.4])
    assert got[[1, 2, 11, 12]] == pytest.approx([0.951057, -0.341839, -0.309017, -0.939759], abs=4e-6)


def test_the_bands_of_nerfstudio_are_not_those_of_nerf() -> None:
    """2 pi 2^linspace(0, 8, 10) is 6.28, 11.6, ..., 1608 rad per unit of u; NeRF's are 1, 2, ..., 512 of x."""
    nerfstudio = preset("nerf_nerfstudio", Domain((64,))).frequencies[:, 0].numpy() * 2 * math.pi
    assert nerfstudio[[0, 1, 8, 9]] == pytest.approx([6.283185, 11.634885, 868.635582, 1608.495439], rel=1e-6)
    nerf = preset("nerf_bmild", Domain((64,))).frequencies[:, 0].numpy() * math.pi
    assert nerf == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 512], rel=1e-6)


def test_nerf_mip() -> None:
    """Per band all axes, sines first: (wave, band, axis), with weights exp(-4^k var / 2)."""
    encoding = preset("nerf_mip", SQUARE)
    variance = np.array([0.0025, 0.0001])
    scale = 2.0 ** np.arange(16)[:, None]
    weight = np.exp(-(scale**2) * variance / 2)
    theirs = np.stack([weight * np.sin(scale * POINT), weight * np.cos(scale * POINT)])
    ours = theirs.transpose(0, 2, 1).ravel()
    got = features(encoding, POINT, torch.tensor(variance).float().diag())
    # A phase of 2^k rad is off by at most 2^(k - 22), of which the weights leave at most 64 * 2^-22.
    assert got == pytest.approx(ours, abs=2e-5)


def test_nerf_mip_golden() -> None:
    """kappa = 1, var = 0.0025 at x = 0.3, k = 0, 1, 2."""
    got = features(preset("nerf_mip", Domain((64,))), [0.3], torch.tensor([[0.0025]]))
    assert got[:3] == pytest.approx([0.295151, 0.561826, 0.913583], abs=2e-6)
    assert got[16:19] == pytest.approx([0.954143, 0.821219, 0.355183], abs=2e-6)


def test_nerf_mip_without_a_footprint_is_nerf_without_its_input() -> None:
    encoding = preset("nerf_mip", Domain((64,)))
    nerf = features(preset("nerf_bmild", Domain((64,))), [0.3])
    got = features(encoding, [0.3])
    assert (got[:10] == nerf[1:11]).all() and (got[16:26] == nerf[11:]).all()


@pytest.mark.parametrize(
    "min_frequency, zero_one_coords, place, values",
    [
        (1 / math.pi, False, 0.3, [0.295520, 0.955336, 0.564642, 0.825336]),
        (1.0, False, 0.3, [0.809017, 0.587785, 0.951057, -0.309017]),
        (2.0, False, 0.3, [0.951057, -0.309017, -0.587785, -0.809017]),
        (0.5, True, -0.4, [0.809017, 0.587785, 0.951057, -0.309017]),
        (1.0, True, -0.4, [0.951057, -0.309017, -0.587785, -0.809017]),
    ],
    ids=["kappa 1 of x", "kappa pi of x", "kappa 2 pi of x", "kappa pi of u", "kappa 2 pi of u"],
)
def test_each_frequency_base_of_nerf(
    min_frequency: float, zero_one_coords: bool, place: float, values: list[float]
) -> None:
    """sin(kappa s), cos(kappa s), sin(2 kappa s), cos(2 kappa s) at s = 0.3, where s is x, or u at x = -0.4."""
    encoding = positional(Domain((64,)), 2, min_frequency=min_frequency, zero_one_coords=zero_one_coords)
    assert features(encoding, [place])[[0, 2, 1, 3]] == pytest.approx(values, abs=2e-6)


# The others


def test_tancik() -> None:
    """sin(2 pi B u), then cos(2 pi B u), B of N(0, 10^2): the order is ours."""
    encoding = preset("tancik", SQUARE)
    b = encoding.frequencies.double().numpy()
    assert b.shape == (256, 2)
    # 512 draws: the standard deviation is known to 1 / 32 of itself, taken four times.
    assert b.std() == pytest.approx(10, rel=4 / 32)
    phases = 2 * math.pi * b @ ((POINT + 1) / 2)
    theirs = np.concatenate([np.sin(phases), np.cos(phases)])
    assert features(encoding, POINT) == pytest.approx(theirs, abs=rounding(encoding))


def test_tancik_is_gaussian_at_the_scale_of_the_paper() -> None:
    """Same draw, and the default scale of 0.08 of 128 is the paper's 10 nearly."""
    theirs, ours = preset("tancik", SQUARE).frequencies, preset("gaussian", SQUARE).frequencies
    torch.testing.assert_close(ours, theirs * 10.24 / 10, rtol=1e-6, atol=0)


def test_positional_golden() -> None:
    """sin(2^k pi x), cos(2^k pi x) at x = 0.3; 8 samples have a Nyquist frequency of 4, so L = 2."""
    got = features(preset("positional", Domain((8,))), [0.3])
    assert got == pytest.approx([0.809017, 0.951057, 0.587785, -0.309017], abs=2e-6)


def test_sinusoidal_golden() -> None:
    """sin(pi f x), cos(pi f x) at x = 0.3 with f = 1/2, 1, 2, below the Nyquist frequency 4 of 8 samples."""
    got = features(preset("sinusoidal", Domain((8,))), [0.3])
    assert got == pytest.approx([0.453990, 0.809017, 0.951057, 0.891007, 0.587785, -0.309017], abs=2e-6)


def test_integrated_golden() -> None:
    """exp(-(2^k pi)^2 var / 2) times the waves of `positional`, at x = 0.3 with var = 0.0025."""
    encoding = preset("integrated", Domain((16,)))
    assert encoding.integrates
    got = features(encoding, [0.3], torch.tensor([[0.0025]]))
    expected = [0.799097, 0.905263, -0.482495, 0.580578, -0.294138, -0.664097]
    assert got == pytest.approx(expected, abs=2e-6)
    plain = preset("positional", Domain((16,)))
    assert (features(encoding, [0.3]) == features(plain, [0.3])).all()


@pytest.mark.parametrize("stride", [1, 3])
def test_transformer_golden(stride: int) -> None:
    """p = 3, C = 4: sin p, cos p, sin(p / 100), cos(p / 100), at the training sample number 3."""
    domain = Domain((30,), stride)
    encoding = preset("transformer", domain, "encoding.num_features=4")
    got = features(encoding, domain.index_to_coords(torch.tensor([3 * stride])))
    assert got == pytest.approx([0.141120, -0.989992, 0.029996, 0.999550], abs=2e-6)


@pytest.mark.parametrize("size, stride", [((30, 20), 1), ((31, 64), 2)])
def test_transformer_in_2d(size: tuple[int, ...], stride: int) -> None:
    """Axis after axis, each with C' = 2 ceil(C / 4) interleaved features of its own whole-number positions."""
    domain = Domain(size, stride)
    encoding = preset("transformer", domain, "encoding.num_features=10")
    positions = [5, 9]
    rates = 1 / 10000 ** (np.arange(0, 6, 2) / 6)
    theirs = [wave(p * w) for p in positions for w in rates for wave in (np.sin, np.cos)]
    got = features(encoding, domain.index_to_coords(torch.tensor(positions) * stride))
    assert got == pytest.approx(theirs, abs=rounding(encoding))


def test_geometric() -> None:
    """Per axis the cosines of 2 pi sigma^(j / m) v and then the sines: (axis, wave, band), cosines first."""
    encoding = preset("geometric", SQUARE)
    bands = 2 * math.pi * 128.0 ** (np.arange(16) / 16)
    theirs = [wave(band * v) for v in POINT / 2 for wave in (np.cos, np.sin) for band in bands]
    ours = np.reshape(theirs, (2, 2, 16)).transpose(1, 0, 2)[::-1].ravel()
    assert features(encoding, POINT) == pytest.approx(ours, abs=rounding(encoding))


def test_geometric_golden() -> None:
    """sigma = 16, m = 4: f = 1, 2, 4, 8 at v = 0.15, which is x = 0.3."""
    options = ("encoding.scale=16", "encoding.num_frequencies=4")
    got = features(preset("geometric", Domain((64,)), *options), [0.3])
    assert got[:4] == pytest.approx([0.809017, 0.951057, -0.587785, 0.951057], abs=4e-6)
    assert got[4:] == pytest.approx([0.587785, -0.309017, -0.809017, 0.309017], abs=4e-6)


def test_harmonic_golden() -> None:
    """j^-1 sin(2 pi j u), j^-1 cos(2 pi j u) at u = 0.2, j = 1, 2, 3; with v = u - 1/2 wave j is turned by pi j."""
    got = features(preset("harmonic", Domain((64,)), "encoding.num_frequencies=3"), [-0.6])
    turned = np.array([-1, 1, -1])
    assert got[:3] == pytest.approx(turned * [0.951057, 0.293893, -0.195928], abs=2e-6)
    assert got[3:] == pytest.approx(turned * [0.309017, -0.404508, -0.269672], abs=2e-6)


def gaussian_kernel(reach: float) -> float:
    return math.exp(-(reach**2) / 2)


def uniform_kernel(reach: float) -> float:
    return math.sin(reach) / reach


def laplace_kernel(reach: float) -> float:
    return 1 / (1 + reach**2)


def log_uniform_kernel(reach: float) -> float:
    """The mean of cos(reach 7^(u - 1)) over u in [0, 1], by the midpoint rule."""
    u = (np.arange(100000) + 0.5) / 100000
    return float(np.cos(reach * 7 ** (u - 1)).mean())


@pytest.mark.parametrize("distance", [0.05, 0.13])
@pytest.mark.parametrize(
    "name, kernel",
    [
        ("gaussian", gaussian_kernel),
        ("uniform", uniform_kernel),
        ("laplace", laplace_kernel),
        ("log_uniform", log_uniform_kernel),
    ],
)
def test_kernel_of_a_random_draw_is_the_characteriztic_function(
    name: str, kernel: Any, distance: float
) -> None:
    """The mean of cos(2 pi b delta) over b, with delta in units of the whole domain and a scale of 7."""
    count = 40000
    encoding = preset(name, Domain((512,)), "encoding.scale=7", f"encoding.num_frequencies={count}")
    mean = features(encoding, [0.1]) @ features(encoding, [0.1 + 2 * distance]) / count
    # A mean of 40000 cosines has a standard error of at most 1 / 200 / sqrt(2) = 0.0035, taken four times.
    assert mean == pytest.approx(kernel(2 * math.pi * 7 * distance), abs=0.015)
