import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support import SMALL, evaluate, make_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from coordnet.diagnostics import bands as module
from coordnet.diagnostics.bands import (
    FLOOR,
    band_edges,
    band_errors,
    band_history,
    band_powers,
    sector_errors,
    steps_until_learned,
)
from coordnet.diagnostics.spectrum import power_spectrum
from coordnet.diagnostics.spectrum_figure import (
    cell_borders,
    decibels,
    draw_band_powers,
    draw_history,
    draw_sectors,
    format_percent,
    step_positions,
    tick_steps,
)
from coordnet.evaluation.base import GridComparison
from coordnet.runs import metrics_file
from coordnet.signals.base import Signal
from coordnet.signals.images import image as image_module
from coordnet.signals.images.image import Image
from coordnet.signals.images.multiscale import Multiscale
from coordnet.signals.images.tomography import Tomography
from coordnet.signals.lines.sequence import sequence
from coordnet.signals.lines.waveform import sines
from coordnet.signals.synthetic.sphere import Sphere
from coordnet.training.run import start

SHAPES = [(50, 1), (24, 32, 3), (9, 16, 12, 2)]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def mode(shape: tuple[int, ...], k: tuple[int, ...]) -> np.ndarray:
    """The DCT-II mode with k half cycles along each axis, mean square 1: (*shape, 1)."""
    along = [
        np.cos(np.pi * i * (np.arange(n) + 0.5) / n) * (math.sqrt(2) if i else 1)
        for i, n in zip(k, shape, strict=True)
    ]
    product = along[0]
    for wave in along[1:]:
        product = product[..., None] * wave
    return product[..., None]


# Octaves


@pytest.mark.parametrize(
    "top, nyquist, expected",
    [
        (90.5, 64, [0, 2, 4, 8, 16, 32, 64, 128]),
        (90.5, 32, [0, 2, 4, 8, 16, 32, 64, 128]),
        (90.5, 21.5, [0, 2, 4, 8, 16, 21.5, 32, 64, 128]),
        (99.5, 100, [0, 2, 4, 8, 16, 32, 64, 100]),
        (64, 32, [0, 2, 4, 8, 16, 32, 64, 128]),
        (3.5, 1.5, [0, 1.5, 2, 4]),
        (0.5, 1, [0, 1]),
        (0, 0.5, [0, 0.5]),
    ],
)
def test_edges_are_octaves_split_at_the_training_nyquist_up_to_the_first_above_the_top(
    top: float, nyquist: float, expected: list[float]
) -> None:
    assert band_edges(top, nyquist).tolist() == expected


def test_names_sort_by_frequency_and_are_read_back() -> None:
    bands = band_errors(noise(600, 1), noise(600, 1, seed=1), nyquist=300, training_nyquist=37.5)
    assert bands.names == sorted(bands.names)
    assert "0032-0037.5" in bands.names and "0037.5-0064" in bands.names and "0002-0004" in bands.names
    rows = [{"step": step, "train/psnr": 1.0, **bands.metrics()} for step in (0.0, 10.0)]
    steps, edges, errors = band_history(rows)
    assert steps.tolist() == [0, 10]
    assert edges.tolist() == bands.edges.tolist()
    assert errors == pytest.approx(np.stack([bands.relative] * 2, axis=1))


def test_history_of_a_run_without_bands_is_empty() -> None:
    for rows in ([], [{"step": 0.0, "train/nmse": 1.0}]):
        _, edges, errors = band_history(rows)
        assert len(edges) == 0 and len(errors) == 0


# Errors by octave


@pytest.mark.parametrize("shape", SHAPES)
def test_the_bands_errors_add_up_to_the_mean_square_error(shape: tuple[int, ...]) -> None:
    """With that of the mean, and with few waves folded at a time."""
    prediction, target = noise(*shape) + 0.3, noise(*shape, seed=1)
    bands = band_errors(prediction, target, max(shape[:-1]) / 2, max(shape[:-1]) / 4)
    assert bands.error.sum() == pytest.approx(((prediction - target) ** 2).mean(), rel=1e-12)
    assert bands.target.sum() == pytest.approx(target.reshape(-1, shape[-1]).var(axis=0).mean(), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_folding_in_chunks_changes_nothing(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    given = noise(*shape), noise(*shape, seed=1), max(shape[:-1]) / 2, max(shape[:-1]) / 4
    whole = band_errors(*given)
    monkeypatch.setattr(module, "_WAVES_PER_CHUNK", 40)
    parts = band_errors(*given)
    assert parts.error == pytest.approx(whole.error, rel=1e-12)


@pytest.mark.parametrize(
    "shape, k, band",
    [
        ((64,), (3,), "0000-0002"),
        ((64,), (4,), "0002-0004"),
        ((64,), (31,), "0008-0016"),
        ((64,), (32,), "0016-0032"),
        ((48, 64), (12, 16), "0008-0016"),  # 8 and 8 cycles: of radius 8 sqrt(2)
        ((48, 64), (0, 33), "0016-0032"),
        ((48, 64), (47, 63), "0032-0064"),  # in the corner, 31.3 and 31.5
        ((64, 64), (6, 8), "0004-0008"),  # 3 and 4: 5
        ((32, 32, 32), (16, 16, 16), "0008-0016"),  # 8 sqrt(3) = 13.9
        ((32, 32, 32), (31, 31, 31), "0016-0032"),  # in the corner, 15.5 sqrt(3) = 26.8
    ],
)
def test_a_mode_stands_in_its_band_alone(shape: tuple[int, ...], k: tuple[int, ...], band: str) -> None:
    wave = mode(shape, k)
    bands = band_errors(np.zeros_like(wave), wave, max(shape) / 2, 16)
    found = dict(zip(bands.names, bands.error, strict=True))
    assert found.pop(band) == pytest.approx(1, rel=1e-9)
    assert max(found.values()) < 1e-20
    assert bands.psnr[bands.names.index(band)] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("a", [0.0, 0.7, 1.5, -1.0])
def test_a_prediction_scaled_by_a_is_wrong_by_one_minus_a_squared_in_every_band(
    shape: tuple[int, ...], a: float
) -> None:
    target = noise(*shape) - 0.5
    target -= target.mean(axis=tuple(range(len(shape) - 1)))
    bands = band_errors(a * target, target, max(shape[:-1]) / 2, max(shape[:-1]) / 4)
    assert bands.target.min() > FLOOR * bands.total
    assert bands.relative == pytest.approx((1 - a) ** 2, rel=1e-9)
    named = bands.metrics()
    assert named["band_error/in"] == pytest.approx((1 - a) ** 2) == named["band_error/out"]


def test_the_error_of_the_mean_is_in_the_first_band_and_the_mean_is_no_energy_of_the_target() -> None:
    target = noise(64, 1)
    for offset in (0, 5):
        bands = band_errors(target + offset + 0.2, target + offset, 32, 16)
        assert bands.error[0] == pytest.approx(0.04) and bands.error[1:] == pytest.approx(0, abs=1e-20)
        assert bands.relative[0] == pytest.approx(0.04 / bands.target[0])
        assert bands.target.sum() == pytest.approx(target.var())


def test_psnr_of_the_bands_is_that_of_data_range_one() -> None:
    target = noise(128, 1)
    bands = band_errors(target + 0.1 * mode((128,), (40,)), target, 64, 32)
    psnr = dict(zip(bands.names, bands.psnr, strict=True))
    assert psnr["0016-0032"] == pytest.approx(20, abs=1e-9)
    assert psnr["0008-0016"] > 200


def test_bands_below_and_from_the_training_nyquist_are_apart() -> None:
    target = noise(256, 1) - 0.5
    for k, side in ((63, "in"), (64, "out")):  # 31.5 and 32 cycles
        named = band_errors(target + 0.1 * mode((256,), (k,)), target, 128, 32).metrics()
        other = {"in": "out", "out": "in"}[side]
        assert named[f"band_error/{side}"] > 1e-3 and named[f"band_error/{other}"] < 1e-20


def test_a_line_that_is_trained_on_whole_has_no_band_beyond_its_nyquist() -> None:
    named = band_errors(noise(200, 1), noise(200, 1, seed=1), 100, 100).metrics()
    assert "band_error/in" in named and "band_error/out" not in named
    assert "band_error/0064-0100" in named


def test_an_empty_band_is_measured_against_the_floor() -> None:
    target = mode((128,), (20,))
    wrong = target + 0.01 * mode((128,), (100,))
    bands = band_errors(wrong, target, 64, 32)
    relative = dict(zip(bands.names, bands.relative, strict=True))
    assert relative["0032-0064"] == pytest.approx(1e-4 / FLOOR)
    assert relative["0008-0016"] < 1e-20


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_target_is_measured_against_the_floor_of_the_data_range(level: float, dtype: type) -> None:
    target = np.full((40, 30, 3), level, dtype)
    bands = band_errors(target + dtype(0.1), target, 20, 10)
    assert bands.total == 1
    assert bands.relative[0] == pytest.approx(0.01 / FLOOR, rel=1e-4)
    assert bands.relative[1:].max() < 1e-6


def test_float32_is_enough() -> None:
    """Images are not widened: 16 million values would be."""
    prediction, target = noise(256, 256, 3), noise(256, 256, 3, seed=1)
    exact = band_errors(prediction, target, 128, 64)
    single = band_errors(prediction.astype(np.float32), target.astype(np.float32), 128, 64)
    assert single.error == pytest.approx(exact.error, rel=1e-5)
    assert single.target == pytest.approx(exact.target, rel=1e-5)


@pytest.mark.parametrize("cycles", [1.3, 2.7])
def test_borders_leak_less_than_with_a_fourier_transform(cycles: float) -> None:
    """Power at 16 cycles and above of a ramp and of a wave that does not fit, which have none there."""
    n = 128
    x = (np.arange(n) + 0.5) / n
    for line in (x, np.sin(2 * np.pi * cycles * x)):
        centered = line - line.mean()
        fft = np.abs(np.fft.rfft(centered, norm="ortho")) ** 2 / n
        fft[1:-1] *= 2
        assert fft.sum() == pytest.approx(centered.var())
        powers = band_powers(line[:, None], 64, band_edges(63.5, 64))
        assert powers.sum() == pytest.approx(centered.var())
        assert powers[-2:].sum() < 0.05 * fft[16:].sum()


def test_the_leaks_are_those_that_the_page_on_diagnostics_names() -> None:
    n = 128
    x = (np.arange(n) + 0.5) / n
    ramp = power_spectrum(x[:, None], n / 2)
    sine = power_spectrum(np.sin(2 * np.pi * 3 * x)[:, None], n / 2)
    shares = [power[frequency >= 16].sum() / power.sum() for frequency, power in (ramp, sine)]
    assert shares == pytest.approx([4e-6, 3e-4], rel=0.15)
    fourier = np.abs(np.fft.rfft(x)[1:]) ** 2
    assert fourier[15:].sum() / fourier.sum() == pytest.approx(4e-2, rel=0.15)


# By direction


@pytest.mark.parametrize(
    "k, sector",
    [((0, 16), 0), ((16, 0), 8), ((16, 16), 4), ((20, 44), 2), ((44, 20), 6)],
)
def test_a_mode_stands_in_its_octave_and_sector(k: tuple[int, int], sector: int) -> None:
    """k is (y, x): 16 half cycles along x alone are vertical stripes, at 0 degrees."""
    target = noise(64, 64, 1)
    edges, before = sector_errors(target, target, 32, 16)
    _, errors = sector_errors(target + 0.1 * mode((64, 64), k), target, 32, 16)
    wrong = np.argwhere(errors > np.nan_to_num(before) + 1e-12)
    frequency = math.hypot(*k) / 2
    assert wrong.tolist() == [[int(np.searchsorted(edges, frequency, side="right")) - 1, sector]]


def test_sectors_hold_what_their_band_holds() -> None:
    """Scaled predictions again; and the mean has no direction."""
    target = noise(64, 48, 3)
    mean = target.mean(axis=(0, 1))
    edges, errors = sector_errors(mean + 0.5 * (target - mean) + 0.3, target, 32, 16)
    assert errors.shape == (len(edges) - 1, 9)
    assert errors[np.isfinite(errors)] == pytest.approx(0.25, rel=1e-9)


def test_sectors_without_a_wave_are_unknown() -> None:
    """Below 2 cycles are 0, 1, 2 and 3 half cycles along an axis: at 0, 18.4, 26.6 and 45 degrees and their mirrors.

    The mean has no direction, and is none of them.
    """
    _, errors = sector_errors(noise(64, 64, 1), noise(64, 64, 1, seed=1), 32, 16)
    there = {
        int(math.degrees(math.atan2(y, x)) // 10)
        for y in range(4)
        for x in range(4)
        if 0 < y * y + x * x < 16
    }
    assert {8 if i == 9 else i for i in there} == set(np.flatnonzero(np.isfinite(errors[0])))


def test_errors_along_the_axes_are_told_from_diagonal_ones() -> None:
    rng = np.random.default_rng(0)
    target = rng.standard_normal((64, 64, 1))
    coefficients = np.fft.fft2(target[..., 0])
    f = np.fft.fftfreq(64, 1 / 64)
    angle = np.degrees(np.arctan2(np.abs(f)[:, None], np.abs(f)))
    coefficients[(angle > 30) & (angle < 60)] = 0
    _, errors = sector_errors(np.fft.ifft2(coefficients).real[..., None], target, 32, 32)
    assert errors[3:5, 4].min() > 0.8 and errors[3:5, [0, 8]].max() < 0.2


# Steps until learned


@pytest.mark.parametrize(
    "errors, expected",
    [
        ([1, 0.5, 0.09, 0.01], 20),
        ([1, 0.05, 0.2, 0.05], 50),  # a dip that is lost again does not count
        ([0.05, 0.02, 0.02, 0.01], 0),
        ([1, 0.5, 0.3, 0.1], None),  # at the threshold is not below it
        ([0.01, 0.01, 0.01, 0.5], None),
        ([1, 0.01, math.nan, 0.01], 50),
    ],
)
def test_a_band_is_learned_from_when_on_it_stays_below_the_threshold(
    errors: list[float], expected: float | None
) -> None:
    assert steps_until_learned([0, 10, 20, 50], errors, threshold=0.1) == expected


def test_nothing_is_learned_in_an_empty_record() -> None:
    assert steps_until_learned([], []) is None


# Samples of signals


def whole(signal: Signal, offset: float = 0.0) -> GridComparison | None:
    """Samples of the field that is `offset` everywhere."""

    def field(*where: torch.Tensor) -> torch.Tensor:
        return torch.full((len(where[0]), signal.channels), offset)

    def predict(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"value": torch.zeros(len(batch["value"]), 1)}

    return evaluate(signal, field, predict).grid


@pytest.mark.parametrize(
    "signal, shape, nyquist",
    [
        (Image(torch.rand(20, 30, 3), 2), (20, 30, 3), 15),
        (sines(200, 2), (200, 1), 100),
        (sequence(64), (64, 1), 32),
        (Tomography(32, 4), (32, 32, 1), 16),
        (Multiscale(torch.rand(16, 24, 3), (2, 4), (8,)), (8, 12, 3), 6),
    ],
)
def test_samples_are_the_target_and_the_prediction_on_the_whole_grid(
    signal: Signal, shape: tuple[int, ...], nyquist: float
) -> None:
    samples = whole(signal, 0.25)
    assert samples is not None
    assert samples.target.shape == samples.prediction.shape == shape
    assert (samples.prediction == 0.25).all() and samples.target.std() > 0
    assert samples.nyquist == nyquist


def test_samples_are_clipped_as_scores_are() -> None:
    image = Image(torch.rand(16, 16, 1), 2)
    samples, metrics = (
        whole(image, 7.0),
        evaluate(image, lambda c: torch.full((len(c), 1), 7.0), dict).metrics,
    )
    assert samples is not None and samples.prediction.max() == 1
    bands = band_errors(*samples, max(image.domain.nyquist))
    assert -10 * math.log10(bands.error.sum()) == pytest.approx(metrics["test/psnr_all"], abs=1e-4)


def test_a_signal_without_a_grid_has_no_samples() -> None:
    assert whole(Sphere(num_samples=200, degree=3)) is None


def test_frequencies_of_a_window_are_those_of_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wave of 20 cycles across 128 pixels, seen through the 32 in the middle."""
    for name in ("SCORED_WHOLE", "WINDOW"):
        monkeypatch.setattr(image_module, name, 32)
    x = (2 * torch.arange(128) + 1) / 128 - 1
    wave = 0.5 + 0.4 * torch.cos(math.pi * 20 * x)
    samples = whole(Image(wave.expand(128, 128)[..., None].contiguous()), 0.5)
    assert samples is not None and samples.target.shape == (32, 32, 1) and samples.nyquist == 64
    bands = band_errors(*samples, 64)
    share = bands.error / bands.error.sum()
    assert share[bands.names.index("0016-0032")] > 0.95


# A run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bands") / "run"
    start(make_config(*SMALL), directory)
    return directory


def test_each_evaluation_has_the_columns_of_each_band(run: Path) -> None:
    rows = metrics_file.read(run / "metrics.csv")
    octaves = ["0000-0002", "0002-0004", "0004-0008", "0008-0012", "0012-0016", "0016-0032", "0032-0064"]
    for row in rows:
        assert [name for name in row if name.startswith("band_error/")] == [
            *(f"band_error/{octave}" for octave in octaves),
            *("band_error/in", "band_error/out"),
        ]
        mse = sum(10 ** (-row[f"band_psnr/{octave}"] / 10) for octave in octaves)
        assert -10 * math.log10(mse) == pytest.approx(row["test/psnr_all"], abs=1e-3)


def test_tensorboard_has_the_bands_as_scalars_and_the_config_as_hyperparameters(run: Path) -> None:
    events = EventAccumulator(str(run / "tb")).Reload()
    rows = metrics_file.read(run / "metrics.csv")
    for name in ("band_error/0000-0002", "band_psnr/0016-0032", "band_error/out"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(row["step"], pytest.approx(row[name], rel=1e-5)) for row in rows]
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    listed = HParamsPluginData.FromString(content).session_start_info.hparams
    assert listed["max_steps"].number_value == rows[-1]["step"]
    # A summary of the experiment would give the columns of this run to all runs of a sweep.
    assert "_hparams_/experiment" not in events.summary_metadata


def test_pictures_by_frequency_are_files_and_in_tensorboard(run: Path) -> None:
    files = {file.name.rpartition("-")[0] for file in (run / "images").iterdir()}
    assert files == {
        "target-prediction-error-spectrum",
        "error-by-frequency-and-step",
        "error-by-frequency-and-direction",
    }
    events = EventAccumulator(str(run / "tb"), size_guidance={"images": 0}).Reload()
    steps = [event.step for event in events.Images("error by frequency and step")]
    assert steps == [10, 12]  # there is no history at the first evaluation


# Figures


def test_cells_tile_the_axis_of_steps_and_hold_their_step() -> None:
    steps = np.array([0.0, 10, 20, 50, 100])
    borders, at = cell_borders(steps), step_positions(steps)
    assert (np.diff(borders) > 0).all() and len(borders) == 6
    assert ((borders[:-1] < at) & (at < borders[1:])).all()
    assert at[1:] == pytest.approx(np.log10(steps[1:]))


def test_labeled_steps_are_apart_and_end_with_the_last() -> None:
    steps = np.array([0, *range(10, 1000, 10), 1000.0])
    chosen = tick_steps(steps)
    assert chosen[-1] == 1000 and set(chosen) <= set(steps) and 4 < len(chosen) < 12
    assert np.diff(step_positions(chosen)).min() > 0.2


def test_errors_are_spoken_of_in_decibels() -> None:
    assert decibels(np.array([1, 0.1, 0.0, 10])).tolist() == pytest.approx([0, -10, -30, 10])


@pytest.mark.parametrize("share, text", [(0, "0"), (5e-5, "< 0.01 %"), (0.123, "12 %"), (0.0021, "0.21 %")])
def test_shares_are_short(share: float, text: str) -> None:
    assert format_percent(share) == text


def test_pictures_show_the_errors_they_are_given() -> None:
    target = noise(64, 48, 3)
    bands = band_errors(0.9 * target, target, 32, 12)
    steps = np.array([0.0, 10, 20])
    small, large = (np.full((len(bands.error), 3), level) for level in (0.05, 0.5))
    shown = [draw_history(steps, bands, errors) for errors in (small, large)]
    directed = [draw_sectors(bands.edges, 12, errors.repeat(3, axis=1)) for errors in (small, large)]
    beside = [draw_band_powers(bands, part * bands.target, 256) for part in (1.0, 0.1)]
    for first, second in (shown, directed, beside):
        assert first.dtype == np.uint8 and first.shape == second.shape and first.shape[2] == 3
        assert not np.array_equal(first, second)
    assert beside[0].shape[0] == 256
