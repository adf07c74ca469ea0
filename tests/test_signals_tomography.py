import math

import numpy as np
import pytest
import torch
import yaml
from skimage.data import shepp_logan_phantom
from support import evaluate, pictures
from torch import Tensor

from coordnet.config import shipped
from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.evaluation.tomography import FILTERS, baseline_metrics, best_filter, filtered_back_projection
from coordnet.forward_maps.line_integral import LineIntegral
from coordnet.metrics.psnr import psnr
from coordnet.signals.images.tomography import SHEPP_LOGAN, Ellipse, Tomography, box_chords

TILTED = Ellipse(0.7, 0.3, 0.5, 0.2, -0.3, 35)


def phantom(coords: Tensor) -> Tensor:
    """The Shepp-Logan phantom itself as a field."""
    x, y = coords.double().numpy().T
    values = np.sum([ellipse.at(x, y) for ellipse in SHEPP_LOGAN], axis=0)
    return torch.from_numpy(values).float()[:, None]


def lines_across(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 180, count), rng.uniform(-1, 1, count)


@pytest.fixture(scope="module")
def many_angles() -> Tomography:
    return Tomography(num_angles=400)


# The lines and their integrals


def test_chords_lie_at_their_offset_between_two_edges_of_the_box() -> None:
    angle, offset = lines_across(500)
    angle[:2] = 0, 90
    ends = box_chords(angle, offset)
    theta = np.deg2rad(angle)[:, None]
    np.testing.assert_allclose(
        ends[..., 0] * np.cos(theta) - ends[..., 1] * np.sin(theta), offset[:, None] * [1, 1]
    )
    np.testing.assert_allclose(np.abs(ends).max(axis=-1), 1)
    assert np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).min() > 0.5


def test_closed_form_agrees_with_numeric_integration() -> None:
    angle, offset = lines_across(100)
    ends = box_chords(angle, offset)
    place = (np.arange(20000) + 0.5) / 20000
    points = ends[:, :1] + place[:, None] * (ends[:, 1:] - ends[:, :1])
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    numeric = length * TILTED.at(points[..., 0], points[..., 1]).mean(axis=1)
    np.testing.assert_allclose(TILTED.integral(angle, offset), numeric, atol=3e-4)
    assert np.count_nonzero(numeric) > 20


@pytest.mark.parametrize("angle", [0.0, 17.0, 45.0, 90.0, 133.0])
def test_every_projection_holds_the_mass_of_the_phantom(angle: float) -> None:
    mass = sum(math.pi * e.a * e.b * e.value for e in SHEPP_LOGAN)
    offset = (np.arange(20000) + 0.5) / 10000 - 1
    projection = Tomography().integrals(np.array(angle), offset)
    assert projection.mean() * 2 == pytest.approx(mass, rel=1e-5)


def test_a_centered_disc_looks_the_same_from_everywhere() -> None:
    sinogram = Tomography(num_angles=7, ellipses=[Ellipse(1, 0.5, 0.5, 0, 0, 20)]).sinogram
    torch.testing.assert_close(sinogram, sinogram[:1].expand(7, -1))
    assert sinogram.max() == pytest.approx(1, abs=1e-3)


# Observations


def test_observations_are_angle_by_angle() -> None:
    signal = Tomography(32, 5)
    assert signal.num_observations == 160
    batch = signal.get_batch(torch.tensor([0, 31, 32, 159]))
    assert batch["lines"].shape == (4, 2, 2) and batch["value"].shape == (4, 1)
    edge = 31 / 32
    torch.testing.assert_close(batch["lines"][:2, :, 0], torch.tensor([[-edge, -edge], [edge, edge]]))
    assert torch.equal(batch["value"][2, 0], signal.sinogram[1, 0])


def test_the_phantom_seen_through_the_forward_map_is_the_sinogram() -> None:
    signal = Tomography(64, 11)
    batch = signal.get_batch(torch.arange(signal.num_observations))
    value = LineIntegral(4000)(phantom, batch)["value"]
    torch.testing.assert_close(value, batch["value"], rtol=0, atol=3e-3)


def test_shipped_config_states_the_defaults() -> None:
    node = yaml.safe_load((shipped.config_dir() / "signal" / "ct_phantom.yaml").read_text())
    built, default = build(node, "signal", allow=["coordnet."]), Tomography()
    assert torch.equal(built.sinogram, default.sinogram)
    assert built.sinogram.shape == (20, 128)
    assert built.domain == default.domain and max(built.domain.nyquist) == 64


@pytest.mark.parametrize(
    "key, value", [("size", 15), ("size", 1025), ("num_angles", 0), ("num_angles", 2049)]
)
def test_options_out_of_range_are_refused(key: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"^{key}={value} must be a whole number from \d+ to \d+[ a-z]*$"):
        Tomography(**{key: value})


# The slice and filtered back-projection


def test_the_slice_is_the_right_way_up() -> None:
    published = torch.from_numpy(shepp_logan_phantom().astype(np.float32))[..., None]
    ours = Tomography(400, 1).reference
    assert ours.min() == 0 and ours.max() == 1
    right = psnr(ours, published)
    assert right > 25
    assert all(psnr(ours.flip(axes), published) < right - 2 for axes in ((0,), (1,), (0, 1)))


@pytest.mark.parametrize("size", [64, 65])
def test_an_ellipse_appears_where_it_is(size: int) -> None:
    signal = Tomography(size, 90, [Ellipse(1, 0.2, 0.1, 0.5, 0.25, 0)])
    for picture in (signal.reference, filtered_back_projection(signal)):
        mass = picture[..., 0].clamp(min=0.3) - 0.3
        rows, columns = torch.meshgrid(*[torch.from_numpy(signal.axis())] * 2, indexing="ij")
        assert (mass * columns).sum() / mass.sum() == pytest.approx(0.5, abs=0.003)
        assert (mass * rows).sum() / mass.sum() == pytest.approx(-0.25, abs=0.003)


def test_filtered_back_projection_from_many_angles_is_the_slice(many_angles: Tomography) -> None:
    picture = filtered_back_projection(many_angles)
    aligned = psnr(picture, many_angles.reference)
    assert aligned > 33
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        assert psnr(picture.roll(shift, (0, 1)), many_angles.reference) < aligned - 10


def test_the_baseline_takes_its_best_filter() -> None:
    signal = Tomography(64)
    scores = {name: psnr(filtered_back_projection(signal, name), signal.reference) for name in FILTERS}
    assert baseline_metrics(signal)["fbp/psnr"] == max(scores.values()) == scores[best_filter(signal)]


# Evaluation


def test_the_phantom_itself_scores_near_perfect() -> None:
    signal = Tomography(64, 5)
    calls = []

    def predict(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        calls.append(len(batch["lines"]))
        return LineIntegral(1000)(phantom, batch)

    result = evaluate(signal, phantom, predict)
    metrics, score = result.metrics, result.score
    assert metrics["test/psnr"] > 23
    assert metrics["train/nmse"] < 1e-4
    assert score == -metrics["train/nmse"]
    assert set(metrics) == {"train/nmse", "test/psnr", "test/ssim", "fbp/psnr", "fbp/ssim"}
    assert max(calls) <= 256 and sum(calls) == signal.num_observations
    shapes = [picture.shape for picture in pictures(result).values()]
    assert shapes == [(64, 200, 3), (65, 200, 3)]


def test_an_empty_field_has_the_error_of_the_whole_signal() -> None:
    signal = Tomography(32, 4)
    metrics = evaluate(
        signal,
        lambda x: torch.zeros(*x.shape[:-1], 1),
        lambda batch: {"value": torch.zeros_like(batch["value"])},
    ).metrics
    assert metrics["train/nmse"] == pytest.approx(1)
    assert metrics["test/psnr"] == pytest.approx(
        -10 * math.log10(float((signal.reference**2).mean())), abs=1e-4
    )
