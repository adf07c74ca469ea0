from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import make_config

from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.load import load
from coordnet.training.callbacks.adaptive_precision import training_psnr
from coordnet.training.run import resume, start
from coordnet.training.runtime import ADAPTIVE_PSNR_DB

# Twelve pixels, which a small network has by heart soon.
TINY = (
    *("signal=astronaut", "signal.resize=[4,3]", "signal.train_stride=1", "encoding.num_frequencies=64"),
    *("network.width=64", "network.depth=1", "optimizer.lr=0.01", "trainer.batch_size=64", "threads=1"),
    *("schedule=constant", "eval_every=50", "trainer.pictures=end"),
)


def train(directory: Path, precision: str, steps: int = 400) -> None:
    start(make_config(*TINY, f"trainer.precision={precision}", f"max_steps={steps}"), directory)


def weights(directory: Path) -> dict[str, Any]:
    return dict(checkpoint.load_checkpoint(directory / "checkpoints" / "last.ckpt")["state_dict"])


def in_float32(directory: Path) -> bool:
    return bool(weights(directory)["field._extra_state"])


def test_a_close_fit_goes_over_to_float32_and_stays_there(tmp_path: Path) -> None:
    train(tmp_path / "run", "adaptive")
    scores = [row["train/psnr"] for row in metrics_file.read(tmp_path / "run" / "metrics.csv")]
    assert scores[0] < ADAPTIVE_PSNR_DB < max(scores)
    assert in_float32(tmp_path / "run")
    model = load(tmp_path / "run")
    assert model.field.precision == "float32"


@pytest.mark.parametrize(("precision", "stays"), [("bfloat16", False), ("float32", True)])
def test_a_chosen_precision_is_kept(tmp_path: Path, precision: str, stays: bool) -> None:
    train(tmp_path / "run", precision)
    assert in_float32(tmp_path / "run") == stays


def test_a_fit_that_is_not_close_stays_in_bfloat16(tmp_path: Path) -> None:
    train(tmp_path / "run", "adaptive", steps=50)
    assert not in_float32(tmp_path / "run")


def test_until_it_goes_over_adaptive_is_bfloat16_bit_for_bit(tmp_path: Path) -> None:
    for precision in ("adaptive", "bfloat16"):
        train(tmp_path / precision, precision, steps=50)
    pairs = zip(weights(tmp_path / "adaptive").values(), weights(tmp_path / "bfloat16").values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("stop", [50, 350])
def test_resumed_before_or_after_it_equals_never_stopped(tmp_path: Path, stop: int) -> None:
    train(tmp_path / "straight", "adaptive")
    train(tmp_path / "resumed", "adaptive", steps=stop)
    assert in_float32(tmp_path / "resumed") == (stop == 350)
    file = tmp_path / "resumed" / "config.yaml"
    config = yaml.safe_load(file.read_text()) | {"max_steps": 400}
    file.write_text(yaml.safe_dump(config))
    resume(tmp_path / "resumed")
    straight, resumed = weights(tmp_path / "straight"), weights(tmp_path / "resumed")
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_closeness_is_in_decibels_of_either_metric() -> None:
    assert training_psnr({"train/psnr": 31.5}) == 31.5
    assert training_psnr({"train/nmse": 1e-4}) == pytest.approx(40)
    assert training_psnr({"test/psnr": 60.0}) < 0
