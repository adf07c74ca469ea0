"""Volume rendering against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from coordnet.rendering import volume
from coordnet.rendering.rays import near_far
from coordnet.rendering.sampling import sample_pdf, stratified


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=draw(seed), dtype=torch.float64)


def ragged(rays: int = 40, most: int = 9) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Dense densities and lengths (r, s), the mask of samples that there are, and the ray of each."""
    density, length = 20 * random(rays, most), random(rays, most, seed=1)
    mask = random(rays, most, seed=2) < 0.5
    mask[3] = False
    return density * mask, length, mask, mask.nonzero()[:, 0]


# Weights


@pytest.mark.parametrize("count", [1, 7, 500])
def test_a_constant_density_lets_through_what_the_exponential_says(count: int) -> None:
    sigma, far = 1.7, 2.0
    length = torch.full((1, count), far / count).double()
    weight = volume.weights(torch.full_like(length, sigma), length)
    torch.testing.assert_close(1 - weight.sum(-1), torch.tensor([math.exp(-sigma * far)]).double())
    start = torch.arange(count) * far / count
    expected = (-sigma * start).exp() - (-sigma * (start + far / count)).exp()
    torch.testing.assert_close(weight[0], expected.double(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 1e3, 1e12, 1e30])
def test_weights_are_never_negative_and_never_sum_to_more_than_1(scale: float) -> None:
    weight = volume.weights(scale * random(50, 64).float(), random(50, 64, seed=1).float())
    assert weight.isfinite().all() and (weight >= 0).all()
    assert (weight.sum(-1) <= 1 + 1e-5).all()


def test_a_sample_before_an_opaque_wall_keeps_its_weight() -> None:
    """The accumulated density before a sample excludes the sample's own density."""
    weight = volume.weights(torch.tensor([[1.0, 1e10, 1.0]]), torch.ones(1, 3))
    torch.testing.assert_close(weight[0], torch.tensor([1 - math.exp(-1), math.exp(-1), 0.0]))


def test_packed_weights_are_the_dense_ones() -> None:
    density, length, mask, ray = ragged()
    packed = volume.packed_weights(density[mask], length[mask], ray, len(density))
    torch.testing.assert_close(packed, volume.weights(density, length)[mask])


def test_packed_weights_of_float32_do_not_wear_out_over_many_rays() -> None:
    rays, samples = 4000, 16
    density = 100 * random(rays, samples).float()
    length = torch.full_like(density, 0.5)
    density[:, :-1] *= 1e-3
    ray = torch.arange(rays).repeat_interleave(samples)
    packed = volume.packed_weights(density.flatten(), length.flatten(), ray, rays)
    torch.testing.assert_close(packed.view(rays, samples), volume.weights(density, length))


def test_no_samples_have_no_weights() -> None:
    nothing = torch.zeros(0, requires_grad=True)
    ray = torch.zeros(0, dtype=torch.long)
    weight = volume.packed_weights(nothing, torch.zeros(0), ray, 5)
    seen = volume.composite_over_background(
        volume.accumulate_along_rays(weight, torch.zeros(0, 3), torch.zeros(0), ray, 5), torch.ones(5, 3)
    )
    assert torch.equal(seen.value, torch.ones(5, 3))
    assert not seen.opacity.any() and not seen.depth.any()
    seen.value.sum().backward()


def test_gradients_of_weights() -> None:
    density, length, mask, ray = ragged(6, 5)
    inputs = density.clone().requires_grad_(), length.clone().requires_grad_()
    assert torch.autograd.gradcheck(volume.weights, inputs)
    packed = density[mask].requires_grad_(), length[mask].requires_grad_()
    assert torch.autograd.gradcheck(lambda d, n: volume.packed_weights(d, n, ray, 6), packed)


# Compositing


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_a_constant_color_is_mixed_with_the_background_by_opacity(background: float) -> None:
    weight = random(9, 12) / 12
    color = torch.tensor([0.1, 0.5, 0.9]).double()
    seen = volume.composite(weight, color.expand(9, 12, 3), random(9, 12), torch.full((9, 3), background))
    opacity = weight.sum(-1, keepdim=True)
    torch.testing.assert_close(seen.opacity, opacity)
    torch.testing.assert_close(seen.value, opacity * color + (1 - opacity) * background)


def test_the_depth_of_an_opaque_slab_is_where_it_begins() -> None:
    edges = torch.linspace(1, 3, 2001).double()[None]
    distance = (edges[:, 1:] + edges[:, :-1]) / 2
    density = 500.0 * ((distance > 1.8) & (distance < 2.2))
    weight = volume.weights(density, edges.diff())
    seen = volume.composite(weight, torch.zeros(1, 2000, 3), distance, torch.ones(1, 3))
    # The mean free path lies behind the surface.
    assert seen.depth.item() == pytest.approx(1.8 + 1 / 500, abs=5e-4)
    assert seen.opacity.item() == pytest.approx(1)


def test_the_depth_of_a_thin_slab_is_its_middle_however_faint() -> None:
    distance = torch.linspace(0, 2, 101)[None]
    density = 1e-3 * ((distance > 0.9) & (distance < 1.3))
    weight = volume.weights(density, torch.full_like(distance, 0.02))
    seen = volume.composite(weight, torch.zeros(1, 101, 3), distance, torch.zeros(1, 3))
    assert seen.depth.item() == pytest.approx(1.1, abs=1e-3)


def test_packed_compositing_is_the_dense_one() -> None:
    density, length, mask, ray = ragged()
    distance, value = random(*mask.shape, seed=3).cumsum(-1), random(*mask.shape, 3, seed=4)
    weight = volume.weights(density, length)
    behind = random(len(mask), 3, seed=5)
    dense = volume.composite(weight, value, distance, behind)
    packed = volume.composite_over_background(
        volume.accumulate_along_rays(weight[mask], value[mask], distance[mask], ray, len(mask)), behind
    )
    for ours, theirs in zip(packed, dense, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_of_compositing() -> None:
    *_, ray = ragged(4, 5)
    count = len(ray)
    inputs = [random(*shape, seed=k) for k, shape in enumerate([(count,), (count, 3), (count,)])]
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(
        lambda w, v, t: (
            volume.composite_over_background(
                volume.accumulate_along_rays(w, v, t, ray, 4), torch.ones(4, 3)
            ).value
        ),
        inputs[:3],
    )


# Rays and the box


def test_a_ray_through_the_box_enters_and_leaves_through_its_faces() -> None:
    origins = 4 * torch.nn.functional.normalize(random(200, 3) - 0.5, dim=-1)
    target = 2 * random(200, 3, seed=1) - 1
    directions = torch.nn.functional.normalize(target - origins, dim=-1)
    near, far = near_far(origins, directions)
    assert (near < far).all()
    for end in (near, far):
        torch.testing.assert_close((origins + end * directions).abs().amax(-1), torch.ones(200).double())
    along = ((target - origins) * directions).sum(-1, keepdim=True)
    assert ((near <= along) & (along <= far)).all()


@pytest.mark.parametrize(
    "origin, direction, near, far",
    [
        ([0, 0, 0], [1, 0, 0], 0, 1),
        ([-3, 0, 0], [1, 0, 0], 2, 4),
        ([-3, 0.9, -0.9], [1, 0, 0], 2, 4),
        ([-3, 2, 0], [1, 0, 0], None, None),
        ([3, 0, 0], [1, 0, 0], None, None),
        ([0, 0, 0.5], [0, 0, -1], 0, 1.5),
    ],
)
def test_axis_aligned_rays(origin: list[float], direction: list[float], near: float, far: float) -> None:
    ends = near_far(torch.tensor([origin]).float(), torch.tensor([direction]).float())
    if near is None:
        assert torch.equal(*ends)
    else:
        assert [end.item() for end in ends] == pytest.approx([near, far])


# Sampling


def test_stratified_samples_lie_each_in_its_part() -> None:
    near, far = random(30, 1), 2 + random(30, 1, seed=1)
    for generator in (None, draw()):
        place = (stratified(near, far, 16, generator) - near) / (far - near) * 16
        assert ((place - torch.arange(16) >= 0) & (place - torch.arange(16) <= 1)).all()
    middle = stratified(near, far, 2)
    torch.testing.assert_close(middle, near + (far - near) * torch.tensor([[0.25, 0.75]]))


def test_the_generator_alone_decides() -> None:
    near, far = torch.zeros(5, 1), torch.ones(5, 1)
    same = [stratified(near, far, 8, draw(3)) for _ in range(2)]
    assert torch.equal(*same) and not torch.equal(same[0], stratified(near, far, 8, draw(4)))


@pytest.mark.parametrize("drawn", [False, True])
def test_resampling_follows_the_weights(drawn: bool) -> None:
    edges = torch.tensor([[0.0, 0.5, 1.0, 3.0, 4.0]])
    weight = torch.tensor([[0.1, 0.4, 0.0, 0.3]])
    place = sample_pdf(edges, weight, 8000, draw() if drawn else None)
    assert (place.diff() >= 0).all()
    shares = torch.histogram(place[0], edges[0])[0] / 8000
    torch.testing.assert_close(shares, weight[0] / weight.sum(), atol=1e-3, rtol=0)
    inside = place[(place > 0.5) & (place < 1.0)]
    assert inside.mean().item() == pytest.approx(0.75, abs=0.005)


def test_one_interval_is_divided_evenly() -> None:
    place = sample_pdf(torch.tensor([[1.0, 3.0]]), torch.tensor([[5.0]]), 4)
    torch.testing.assert_close(place, torch.tensor([[1.25, 1.75, 2.25, 2.75]]))


def test_where_nothing_is_seen_samples_are_spread_evenly() -> None:
    edges = torch.linspace(0, 1, 9)[None]
    place = sample_pdf(edges, torch.zeros(1, 8), 16)
    torch.testing.assert_close(place, (torch.arange(16)[None] + 0.5) / 16)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_resampled_distances_stay_within_the_edges(scale: float) -> None:
    edges = random(20, 33).cumsum(-1).float()
    weight = scale * random(20, 32, seed=1).float() ** 8
    place = sample_pdf(edges, weight, 64, draw())
    assert place.isfinite().all()
    assert ((place >= edges[:, :1]) & (place <= edges[:, -1:])).all()
