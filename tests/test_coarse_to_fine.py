"""Coarse to fine: waves open one octave after the other, by the clock of training."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support import SMALL, make_config
from torch import Tensor

from coordnet.config.build import build
from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.coarse_to_fine import CoarseToFine
from coordnet.encodings.fourier import Fourier, gaussian, log_linear, positional
from coordnet.encodings.identity import Identity
from coordnet.encodings.ladder import Binary, Index, Normalized, Sine
from coordnet.errors import UserError
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.load import load
from coordnet.training.prepare import prepare
from coordnet.training.run import resume, start

LINE = Domain((64,))


def octaves(count: int, **options: Any) -> CoarseToFine:
    """A window over 1, 2, 4, ... cycles."""
    return CoarseToFine(LINE, partial(positional, num_frequencies=count), **options)


def weights(window: CoarseToFine, x: float = 0.3) -> list[float]:
    """The factor of each feature."""
    coords = torch.full((window.in_dim,), x)
    ratio: list[float] = (window(coords) / window.encoding(coords)).tolist()
    return ratio


def points(*shape: int) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(0)) - 1


# The weight


def test_golden_window() -> None:
    """alpha = 1.5 of L = 4: 1, 1/2, 0, 0 for the bands k = 0 to 3."""
    window = octaves(4)
    window.alpha.fill_(1.5)
    assert weights(window) == pytest.approx([1, 0.5, 0, 0] * 2, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0, 2.7, 3.999, 4.0])
def test_barf_and_nerfies_write_the_same_weight(alpha: float) -> None:
    """BARF (1 - cos(pi clip(alpha - k))) / 2; Nerfies (1 + cos(pi clip(alpha - j) + pi)) / 2."""
    window = octaves(4)
    window.alpha.fill_(alpha)
    reach = [min(max(alpha - k, 0), 1) for k in range(4)]
    barf = [(1 - math.cos(math.pi * r)) / 2 for r in reach]
    nerfies = [(1 + math.cos(math.pi * r + math.pi)) / 2 for r in reach]
    assert weights(window) == pytest.approx(barf * 2, abs=1e-6)
    assert weights(window) == pytest.approx(nerfies * 2, abs=1e-6)


def test_waves_between_two_octaves_open_between_them() -> None:
    """k = log2 |b| over that of the slowest, whatever its direction; 0 for what is slower than a quarter cycle."""
    vectors = torch.tensor([[0.1, 0.0], [-0.25, 0.0], [0.0, math.sqrt(2) / 4], [0.75, -1.0]])
    window = CoarseToFine(Domain((16, 16)), lambda domain: Fourier(vectors))
    window.alpha.fill_(1.0)
    half_open = (1 - math.cos(math.pi / 2)) / 2
    assert weights(window) == pytest.approx([1, 1, half_open, 0] * 2, abs=1e-6)
    window.alpha.fill_(math.log2(5) + 0.5)
    assert weights(window) == pytest.approx([1, 1, 1, 0.5] * 2, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(
    "start, end", [(0.0, 0.5), (0.1, 0.5), (0.0, 0.4), (0.0, 1.0), (0.3, 0.3), (1.0, 1.0)]
)
def test_alpha_goes_linearly_from_zero_to_the_number_of_octaves(
    start: float, end: float, share: float
) -> None:
    """BARF: alpha = L (t - s) / (e - s), [s, e] = [.1, .5] or [0, .4]; Nerfies: s = 0. At s = e all open at once."""
    window = octaves(5, start=start, end=end)
    window.on_step(round(share * 1000), 1000)
    if share <= start:
        expected = 5.0 if share == start == end else 0.0
    else:
        expected = 5.0 if share >= end else 5 * (share - start) / (end - start)
    assert window.alpha.item() == pytest.approx(expected, abs=1e-6)


def test_each_band_opens_in_turn_and_never_closes_again() -> None:
    window = octaves(4, end=1.0)
    seen = []
    for step in range(101):
        window.on_step(step, 100)
        seen.append(torch.tensor(weights(window))[:4])
    history = torch.stack(seen)
    assert (history.diff(dim=0) > -1e-6).all()
    assert (history[:, :-1] >= history[:, 1:] - 1e-6).all()
    assert history[0].tolist() == [0] * 4
    # Band k is shut up to a quarter of k, and open from the next quarter on.
    for k in range(4):
        assert history[25 * k, k] == 0 and history[25 * (k + 1), k] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "encoding",
    [
        positional,
        partial(positional, include_input=True),
        partial(positional, min_frequency=0.5),
        gaussian,
        partial(gaussian, trainable=True),
        log_linear,
        Sine,
    ],
)
def test_fully_open_is_the_bare_encoding(encoding: Any) -> None:
    domain = Domain((32, 20))
    window, x = CoarseToFine(domain, encoding), points(50, 2)
    assert torch.equal(window(x), encoding(domain)(x))
    window.on_step(0, 10)
    assert not torch.equal(window(x), encoding(domain)(x))
    window.on_step(5, 10)
    # Some weight (1 - cos pi) / 2 in float32 could be 1 - 2^-24, and none is.
    assert torch.equal(window(x), encoding(domain)(x))


def test_the_input_and_constants_are_never_masked() -> None:
    domain = Domain((16, 16))
    window, x = CoarseToFine(domain, partial(positional, include_input=True)), points(9, 2)
    window.on_step(0, 10)
    assert torch.equal(window(x)[:, :2], x)
    assert not window(x)[:, 2:].any()
    # `log_linear` starts at frequency 0 on each axis, whose cosine is 1 everywhere.
    constant = CoarseToFine(domain, partial(log_linear, num_frequencies=8))
    constant.on_step(0, 10)
    assert constant(x)[0].tolist() == [0] * 8 + [1, 0, 0, 0] * 2


def test_a_window_is_as_wide_as_its_encoding_and_says_the_same_of_it() -> None:
    encoding = partial(positional, include_input=True, integrates=True)
    window, bare = CoarseToFine(LINE, encoding), encoding(LINE)
    for name in ("in_dim", "out_dim", "includes_input", "integrates"):
        assert getattr(window, name) == getattr(bare, name)
    frequencies = window.feature_frequencies()
    assert frequencies is not None and torch.equal(frequencies, bare.feature_frequencies())


def test_a_footprint_passes_through() -> None:
    encoding = partial(positional, integrates=True)
    window, x, footprint = CoarseToFine(LINE, encoding), points(5, 1), 0.01 * torch.ones(5, 1, 1)
    assert torch.equal(window(x, footprint), encoding(LINE)(x, footprint))
    assert not torch.equal(window(x, footprint), window(x))


def test_trainable_frequencies_have_gradients_through_the_window() -> None:
    window = CoarseToFine(LINE, partial(gaussian, num_frequencies=4, scale=1.0, trainable=True))
    window(points(20, 1)).sum().backward()
    (parameter,) = window.parameters()
    assert parameter.grad is not None and parameter.grad.all()


@pytest.mark.parametrize("encoding", [Identity, Index, Normalized, Binary])
def test_an_encoding_without_waves_is_refused_in_one_line(encoding: type[Encoding]) -> None:
    with pytest.raises(UserError, match=rf"^encoding='{encoding.__name__}' must have waves to mask$"):
        CoarseToFine(LINE, encoding)


def test_a_config_without_waves_is_refused_in_one_line() -> None:
    config = make_config("encoding=coarse_to_fine", "encoding@encoding.encoding=identity")
    with pytest.raises(UserError, match=r"^encoding\.encoding='Identity' must have waves to mask$"):
        build(config["encoding"], "encoding", domain=LINE)


@pytest.mark.parametrize("start, end", [(-0.1, 0.5), (0.6, 0.5), (0.0, 1.1)])
def test_impossible_schedules_are_refused(start: float, end: float) -> None:
    with pytest.raises(UserError, match=r"^(start|end)=[^\n]*$"):
        octaves(4, start=start, end=end)


# In a run


def test_alpha_is_saved_and_restored() -> None:
    window, other = octaves(4), octaves(4)
    window.on_step(1, 10)
    other.load_state_dict(window.state_dict())
    x = points(9, 1)
    assert other.alpha == window.alpha < 4 and torch.equal(other(x), window(x))


WINDOW = (*SMALL, "encoding=coarse_to_fine")


def alpha_of(directory: Path, which: str = "last") -> float:
    state: dict[str, Tensor] = checkpoint.load_checkpoint(directory / "checkpoints" / f"{which}.ckpt")[
        "state_dict"
    ]
    return state["field.encoding.alpha"].item()


def test_a_run_opens_the_window_and_saves_where_it_stands(tmp_path: Path) -> None:
    """A 48 x 32 image trained on every second pixel has a Nyquist frequency of 12, so L = 4."""
    start(make_config(*WINDOW, "encoding.end=1.0", "max_steps=8"), tmp_path / "run")
    # The last of 8 steps is taken at 7/8 of the time, and that is the field that was trained and scored.
    assert alpha_of(tmp_path / "run") == pytest.approx(4 * 7 / 8)
    field: Any = load(tmp_path / "run").field
    assert field.encoding.alpha.item() == pytest.approx(4 * 7 / 8)


def test_a_run_is_scored_shut_at_its_start_and_open_at_its_end(tmp_path: Path) -> None:
    config = make_config(*WINDOW)
    start(config, tmp_path / "run")
    assert alpha_of(tmp_path / "run") == 4
    first = metrics_file.read(tmp_path / "run" / "metrics.csv")[0]
    model: Any = prepare(config)[1]
    with torch.no_grad():
        opened = model.evaluate().metrics["train/psnr"]
        model.field.encoding.on_step(0, 12)
        shut = model.evaluate().metrics["train/psnr"]
        field = model.field(model.batches.signal.domain.grid())
    # metrics.csv holds all digits, and the same weights give the same numbers.
    assert first["step"] == 0 and first["train/psnr"] == pytest.approx(shut, rel=1e-6)
    assert abs(opened - shut) > 1e-3
    # All waves shut leave one color.
    assert field.std(dim=(0, 1)).max() < 1e-6


def test_interrupted_and_resumed_equals_straight_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current fails at step 14 of 30, while the window moves; the last checkpoint is that of step 10."""
    config = make_config(*WINDOW, "encoding.end=0.8", "eval_every=10", "max_steps=30")
    start(config, tmp_path / "straight")

    moved = CoarseToFine.on_step

    def fail(self: CoarseToFine, step: int, max_steps: int) -> None:
        if step == 14:
            raise RuntimeError("power cut")
        moved(self, step, max_steps)

    with monkeypatch.context() as patch:
        patch.setattr(CoarseToFine, "on_step", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            start(config, tmp_path / "resumed")
    assert alpha_of(tmp_path / "resumed") == pytest.approx(4 * 9 / 24)
    resume(tmp_path / "resumed")

    straight, resumed = (
        checkpoint.load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["state_dict"]
        for name in ("straight", "resumed")
    )
    assert straight.keys() == resumed.keys()
    for name, tensor in straight.items():
        assert torch.equal(tensor, resumed[name]), name
    rows = [metrics_file.read(tmp_path / name / "metrics.csv") for name in ("straight", "resumed")]
    for row in rows[0] + rows[1]:
        row.pop("seconds")
    assert str(rows[0]) == str(rows[1])  # as text, because nan differs from itself
