from functools import partial
from itertools import islice
from pathlib import Path

import lightning as L
import pytest
import torch
from support import make_config

from coordnet.coords import Domain
from coordnet.encodings.identity import Identity
from coordnet.fields.field import Field
from coordnet.forward_maps.point import PointEvaluation
from coordnet.losses.mse import mse
from coordnet.networks.mlp import Mlp
from coordnet.signals.lines.waveform import chirp
from coordnet.training.batches import BatchSampler
from coordnet.training.callbacks.evaluation import is_picture_step, picture_steps
from coordnet.training.module import FieldModule
from coordnet.training.run import start

SGD = partial(torch.optim.SGD, lr=0.1)


def reconstruction(**options: object) -> FieldModule:
    torch.manual_seed(0)
    field = Field(Identity(Domain((64,))), Mlp(1, 1, depth=1, width=8))
    batches = BatchSampler(chirp(64, 1, 1.0, 4.0), 16, seed=0)
    return FieldModule(field, PointEvaluation(), batches, SGD, **options)  # type: ignore[arg-type]


def fit(model: FieldModule, steps: int) -> L.Trainer:
    trainer = L.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model)
    return trainer


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    def absolute(
        prediction: dict[str, torch.Tensor], batch: dict[str, torch.Tensor], field: object
    ) -> torch.Tensor:
        return (prediction["value"] - batch["value"]).abs().mean()

    model = reconstruction(losses={"a": (2.0, mse), "b": (0.5, absolute)})
    batch = model.batches(0)
    residual = model.field(batch["coords"]) - batch["value"]
    terms = model.loss_terms(batch)
    torch.testing.assert_close(terms["loss/a"], (residual**2).mean())
    torch.testing.assert_close(terms["loss/b"], residual.abs().mean())
    torch.testing.assert_close(terms["loss"], 2 * (residual**2).mean() + 0.5 * residual.abs().mean())


def test_lightning_takes_the_steps_that_a_plain_loop_takes() -> None:
    model, plain = reconstruction(), reconstruction()
    fit(model, 5)
    optimizer = SGD(plain.parameters())
    for step in range(5):
        batch = plain.batches(step)
        loss = ((plain.field(batch["coords"]) - batch["value"]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)  # summation order may differ


def test_the_schedule_moves_every_step() -> None:
    model = reconstruction(schedule=partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=10))
    trainer = fit(model, 5)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.05)


def test_pictures_are_evenly_spaced_in_the_logarithm_of_the_step() -> None:
    assert list(islice(picture_steps(), 8)) == [0, 10, 20, 50, 100, 200, 500, 1000]
    assert [step for step in range(60) if is_picture_step(step)] == [0, 10, 20, 50]


def test_positional_encoding_counters_spectral_bias(tmp_path: Path) -> None:
    """The claim of the whole project: a chirp's high frequencies are not learned from raw coordinates."""
    small = ("network.depth=2", "network.width=64", "max_steps=300", "trainer.batch_size=256", "threads=1")
    errors = {}
    for encoding in ("identity", "positional"):
        config = make_config(
            "signal=chirp", "signal.num_samples=256", "signal.train_stride=1", f"encoding={encoding}", *small
        )
        errors[encoding] = start(config, tmp_path / encoding)["train/nmse"]
    assert errors["positional"] < errors["identity"] / 10
