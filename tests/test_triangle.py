import math

import numpy as np
import pytest
import torch

from coordnet.coords import Domain
from coordnet.encodings.triangle import Triangle
from coordnet.errors import UserError


def test_golden_triangle() -> None:
    """tiny-cuda-nn's wave at u = 0.3, u in [0, 1], with 4 levels."""
    features = Triangle(Domain((16,)), num_frequencies=4)(torch.tensor([2 * 0.3 - 1]))
    # v is at most 2 and rounded to 1.2e-7, four times that in the wave.
    torch.testing.assert_close(features, torch.tensor([0.4, -0.8, 0.6, 0.8]), atol=1e-6, rtol=0)


def test_each_level_is_the_arcsine_of_a_cosine_a_quarter_period_on() -> None:
    """4 |v - floor(v) - 1/2| - 1 = 2 / pi arcsin(cos(2 pi v)), v = 2^(l-1) u + l / 4."""
    x = np.linspace(-1, 1, 301)
    features = Triangle(Domain((64,)), num_frequencies=6).double()(torch.from_numpy(x)[:, None])
    for level in range(6):
        v = 2.0 ** (level - 1) * (x + 1) / 2 + level / 4
        expected = 2 / math.pi * np.arcsin(np.cos(2 * math.pi * v))
        # The arcsine's slope is infinite at the corners: there a rounding of 1e-16 becomes 1e-8.
        assert features[:, level].numpy() == pytest.approx(expected, abs=1e-7)


def test_a_level_holds_its_frequency_and_odd_multiples_of_it_only() -> None:
    """The Fourier series of a triangle wave: 8 / (pi k)^2 cos(2 pi k f u) for k = 1, 3, 5, ..."""
    encoding = Triangle(Domain((1024,)), num_frequencies=5).double()
    frequencies = encoding.feature_frequencies()
    assert frequencies.tolist() == [[0.5], [1.0], [2.0], [4.0], [8.0]]
    spectrum = np.abs(np.fft.rfft(encoding(Domain((1024,)).grid().double()).numpy(), axis=0)) / 512
    for level in range(1, 5):
        f = int(frequencies[level, 0])
        multiples = spectrum[::f, level][:6]
        expected = [0, 8 / math.pi**2, 0, 8 / (3 * math.pi) ** 2, 0, 8 / (5 * math.pi) ** 2]
        # 128 samples or more per period: what folds back onto the fifth multiple starts at the 123rd, 8 / (123 pi)^2.
        assert multiples == pytest.approx(expected, abs=1e-4)
        rest = np.delete(spectrum[:, level], np.arange(0, 513, f)) if f > 1 else np.zeros(1)
        assert rest.max() < 1e-12


def test_the_first_level_is_the_coordinate_with_its_sign_turned() -> None:
    grid = Domain((32,)).grid()
    encoding = Triangle(Domain((32,)))
    # u and the wave are rounded to 6e-8 and 2.4e-7.
    torch.testing.assert_close(encoding(grid)[:, :1], -grid, atol=5e-7, rtol=0)
    assert encoding.includes_input


def test_all_levels_of_x_come_before_those_of_y() -> None:
    domain = Domain((16, 16))
    line = Triangle(Domain((16,)), num_frequencies=3)
    features = Triangle(domain, num_frequencies=3)(torch.tensor([0.3, -0.7]))
    expected = torch.cat([line(torch.tensor([0.3])), line(torch.tensor([-0.7]))])
    assert torch.equal(features, expected)
    assert Triangle(domain, num_frequencies=2).feature_frequencies().tolist() == [
        [0.5, 0],
        [1, 0],
        [0, 0.5],
        [0, 1],
    ]


@pytest.mark.parametrize(
    "size, stride, top", [(512, 2, 64), (512, 1, 128), (514, 2, 128), (8, 1, 2), (2, 1, 0.5)]
)
def test_default_levels_are_the_most_below_the_training_nyquist(size: int, stride: int, top: float) -> None:
    assert Triangle(Domain((size, size), stride)).feature_frequencies().max() == top


def test_no_level_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"^num_frequencies=0 must be a whole number from 1 to 65536, or null$"
    ):
        Triangle(Domain((16,)), num_frequencies=0)
