import numpy as np
import pytest
import torch
from scipy.integrate import quad

from coordnet.coords import Domain
from coordnet.encodings.one_blob import OneBlob
from coordnet.errors import UserError

LINE = Domain((64,))


def at(encoding: OneBlob, u: float) -> torch.Tensor:
    return encoding.double()(torch.tensor([2 * u - 1], dtype=torch.float64))


@pytest.mark.parametrize("periodic", [False, True])
def test_golden_one_blob(periodic: bool) -> None:
    """tiny-cuda-nn's kernel at u = 0.3 in 8 bins; far from both ends it makes no difference whether they meet."""
    expected = [0, 0.16308, 0.77900, 0.05792, 0, 0, 0, 0]
    # The golden values have five digits.
    assert at(OneBlob(LINE, 8, periodic), 0.3).tolist() == pytest.approx(expected, abs=6e-6)


@pytest.mark.parametrize("u", [0.0, 0.01, 0.37, 0.5, 0.99])
@pytest.mark.parametrize("num_bins", [1, 2, 5])
def test_a_bin_is_the_integral_of_the_quartic_kernel_over_it(u: float, num_bins: int) -> None:
    def kernel(v: float) -> float:
        s = min(1.0, abs(num_bins * (v - u)))
        return 15 / 16 * num_bins * (1 - s**2) ** 2

    def integral(k: int) -> float:
        kinks = [
            edge for edge in (u - 1 / num_bins, u + 1 / num_bins) if k / num_bins < edge < (k + 1) / num_bins
        ]
        return quad(kernel, k / num_bins, (k + 1) / num_bins, points=kinks or None)[0]

    expected = [integral(k) for k in range(num_bins)]
    # Edges such as 1/5 are rounded to float32.
    assert at(OneBlob(LINE, num_bins), u).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("num_bins", [1, 2, 3, 16])
def test_bins_add_up_to_one_unless_the_blob_hangs_over_an_end(num_bins: int) -> None:
    x = torch.linspace(-1, 1, 101)[:, None]
    periodic, plain = OneBlob(LINE, num_bins, periodic=True)(x), OneBlob(LINE, num_bins)(x)
    # Up to 16 differences of float32 numbers up to 1.
    torch.testing.assert_close(periodic.sum(-1), torch.ones(101), atol=2e-6, rtol=0)
    inside = (x[:, 0].abs() < 1 - 2 / num_bins).nonzero()[:, 0]
    torch.testing.assert_close(plain[inside].sum(-1), torch.ones(len(inside)), atol=2e-6, rtol=0)
    torch.testing.assert_close(plain[[0, -1]].sum(-1), torch.full((2,), 0.5), atol=2e-6, rtol=0)
    assert (plain >= 0).all() and (periodic >= 0).all()
    assert ((plain > 0).sum(-1) <= 3).all()


def test_a_periodic_domain_has_no_ends() -> None:
    encoding = OneBlob(LINE, 8, periodic=True).double()
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)[:, None]
    # x and x + 2 are rounded differently.
    torch.testing.assert_close(encoding(x), encoding(x + 2), atol=1e-12, rtol=0)
    shifted = encoding(x + 2 / 8)
    torch.testing.assert_close(shifted, encoding(x).roll(1, dims=-1), atol=1e-12, rtol=0)


def test_all_bins_of_x_come_before_those_of_y_and_a_short_axis_leaves_bins_empty() -> None:
    domain = Domain((64, 16))
    features = OneBlob(domain, 8)(domain.grid())
    line = OneBlob(LINE, 8)(LINE.grid())
    assert torch.equal(features[0, :, :8], line)
    used = features[..., 8:].amax((0, 1)) > 0
    # y spans [-1/4, 1/4], bins 3 and 4 of 8; its blobs reach into the next ones.
    assert used.tolist() == [False, False, True, True, True, True, False, False]


def test_the_second_derivative_has_no_jumps() -> None:
    """As a bin's is a difference of slopes of a kernel that is flat where it ends."""
    x = torch.linspace(-1, 1, 20001, dtype=torch.float64)[:, None].requires_grad_()
    features = OneBlob(LINE, 4).double()(x)
    weights = torch.tensor([1.0, -2.0, 3.0, -4.0], dtype=torch.float64)
    (first,) = torch.autograd.grad((features @ weights).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    # The kernel's own second derivative, in u, is at most 15/16 n^3 8 = 480, and an eighth of that in x. A bin has two
    # ends, the weights add up to 10, and points are 1e-4 apart.
    jump = np.abs(np.diff(second[:, 0].numpy())).max()
    assert jump < 480 / 8 * 2 * 10 * 1e-4


def test_no_bin_is_refused() -> None:
    with pytest.raises(UserError, match=r"^num_bins=0 must be a whole number from 1 to 65536$"):
        OneBlob(LINE, 0)
