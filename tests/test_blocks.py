"""Blocks of optimization steps: equal to one step at a time, and callbacks are called when they are due."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from coordnet.encodings.fourier import gaussian
from coordnet.errors import UserError
from coordnet.fields.field import Field
from coordnet.forward_maps.point import PointEvaluation
from coordnet.networks.mlp import Mlp
from coordnet.signals.images.image import skimage_image
from coordnet.training.batches import BatchSampler
from coordnet.training.callbacks.evaluation import EvaluationCallback
from coordnet.training.module import FieldModule, InfiniteDummyLoader

ADAM = partial(torch.optim.Adam, lr=1e-2)
COSINE = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=40)


def module(steps_per_block: int = 32, **options: Any) -> FieldModule:
    torch.manual_seed(0)
    signal = skimage_image("astronaut", 2, resize=(24, 24))
    encoding = gaussian(signal.domain, num_frequencies=8)
    field = Field(encoding, Mlp(encoding.out_dim, signal.channels, depth=2, width=16), signal.value_range)
    batches = BatchSampler(signal, 64, seed=0)
    return FieldModule(
        field, PointEvaluation(), batches, ADAM, COSINE, steps_per_block=steps_per_block, **options
    )


def trainer(steps: int, *callbacks: L.Callback, **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False} | options
    return L.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **quiet,
    )


class Automatic(L.LightningModule):
    """The same training by Lightning's automatic optimization."""

    def __init__(self, inner: FieldModule) -> None:
        super().__init__()
        self.inner = inner
        self.batch = 0

    def train_dataloader(self) -> InfiniteDummyLoader:
        return InfiniteDummyLoader()

    def training_step(self, *_: object) -> Tensor:
        batch = self.inner.batches(self.batch)
        self.batch += 1
        return self.inner.loss_terms(batch)["loss"]

    def configure_optimizers(self) -> Any:
        return self.inner.configure_optimizers()


def assert_equal_parameters(a: nn.Module, b: nn.Module) -> None:
    for ours, theirs in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("steps_per_block", [1, 5, 8, 32])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_clip_val": 0.01},
        {"gradient_clip_val": 0.001, "gradient_clip_algorithm": "value"},
        {"accumulate_grad_batches": 3},
        {"accumulate_grad_batches": 2, "gradient_clip_val": 0.01},
    ],
    ids=str,
)
def test_blocks_equal_automatic_optimization_bit_for_bit(
    steps_per_block: int, options: dict[str, Any]
) -> None:
    ours, theirs = module(steps_per_block), Automatic(module())
    trainer(20, **options).fit(ours)
    trainer(20, **options).fit(theirs)
    assert_equal_parameters(ours, theirs.inner)


def test_accumulated_batches_are_different_batches() -> None:
    model, seen = module(), []
    model.forward_map.register_forward_pre_hook(
        lambda _, inputs: seen.append(float(inputs[1]["coords"].sum()))
    )
    trainer(3, accumulate_grad_batches=4).fit(model)
    assert len(seen) == len(set(seen)) == 12


class Recorder(L.Callback):
    """A callback of a user's, which counts on being called at every step."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.steps.append(trainer.global_step)


def test_a_callback_with_a_batch_hook_is_called_at_every_step() -> None:
    recorder = Recorder()
    trainer(12, recorder).fit(module())
    assert recorder.steps == list(range(1, 13))


class Rows(L.pytorch.loggers.Logger):
    """A logger that keeps its rows."""

    name, version, experiment = "rows", "0", None

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:  # type: ignore[override]
        assert step is not None
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


@pytest.mark.parametrize("steps_per_block", [1, 8])
def test_every_score_is_logged_once_at_its_step_the_last_included(steps_per_block: int) -> None:
    rows = Rows()
    trainer(25, EvaluationCallback(every=8, log_every=5), logger=rows).fit(module(steps_per_block))
    scores = [step for step, row in rows.rows if "val/psnr" in row]
    losses = [step for step, row in rows.rows if "train/loss" in row]
    assert scores == [0, 8, 10, 16, 20, 24, 25]
    assert losses == [5, 8, 10, 15, 16, 20, 24, 25]


@pytest.mark.parametrize("steps_per_block", [1, 8])
def test_early_stopping_ends_at_the_step_expected(steps_per_block: int) -> None:
    stopping = EarlyStopping("train/loss", mode="max", patience=2, min_delta=1e9)
    run = trainer(200, EvaluationCallback(every=10, log_every=7), stopping)
    run.fit(module(steps_per_block))
    # The score at step 10 is the best; those at 20 and 30 are no better.
    assert run.global_step == 30


@pytest.mark.parametrize("steps_per_block", [1, 8])
def test_model_checkpoint_keeps_the_best_of_its_monitor(steps_per_block: int, tmp_path: Path) -> None:
    rows = Rows()
    best = ModelCheckpoint(tmp_path, "{step}", monitor="val/psnr", mode="max", save_top_k=1)
    run = trainer(30, EvaluationCallback(every=10), best, logger=rows, enable_checkpointing=True)
    run.fit(module(steps_per_block))
    scores = {step: row["val/psnr"] for step, row in rows.rows if "val/psnr" in row and step}
    expected = max(scores, key=lambda step: scores[step])
    assert Path(best.best_model_path).name == f"step={expected}.ckpt"
    assert float(best.best_model_score) == pytest.approx(scores[expected], rel=1e-6)


def test_a_periodic_model_checkpoint_saves_at_its_period_within_blocks(tmp_path: Path) -> None:
    periodic = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=10, save_top_k=-1)
    with pytest.warns(UserWarning, match="AFTER optimization"):
        trainer(35, periodic, enable_checkpointing=True).fit(module())
    assert {path.stem for path in tmp_path.iterdir()} == {"step=10", "step=20", "step=30"}


def test_evaluate_and_predict_need_no_no_grad() -> None:
    model = module()
    assert model.evaluate().metrics["val/psnr"] > 0
    assert not model.predict(model.batches(0))["value"].requires_grad


def test_load_from_checkpoint_names_the_call_to_use() -> None:
    with pytest.raises(UserError, match=r"coordnet\.load"):
        FieldModule.load_from_checkpoint("last.ckpt")
