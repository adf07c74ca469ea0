"""The neural tangent kernel while a field trains."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from coordnet.diagnostics import ntk, ntk_figure
from coordnet.errors import Diverged
from coordnet.losses.mse import mse
from coordnet.training.callbacks.evaluation import Evaluation
from coordnet.training.module import FieldModule

MOST_PREDICTED = 4096
PREDICTED_AT = 200
LEADING = 128


class Kernel(L.Callback):
    """Computes the tangent kernel at some training points, at the first, the last and chosen steps.

    It draws nothing at random and changes nothing that is trained. It must stand behind the Evaluation, whose clock it
    stops, and before the Saving, so that a checkpoint never lacks what belongs to its step.

    Each step leaves ntk-STEP.npz in the run's directory, all plain arrays: step, coords (n, d), target, values and
    residual (n, C), kernel (n, n) float32, eigenvalues (n,), the first 128 eigenvectors (n, 128) float32, the target's
    energy along all of them (n,), mse; and at step 0 predicted_steps and predicted_mse, where gradient descent with
    that kernel is what is trained.

    Args:
        directory: The run's.
        evaluation: Writes the scalars and the picture, which it draws at the end only if it does so with its own.
        points: How many training points, spread evenly over the observations.
        steps: Chosen ones; those beyond the last are never reached.
    """

    def __init__(self, directory: Path, evaluation: Evaluation, points: int, steps: Sequence[int]) -> None:
        self.directory = directory
        self.evaluation = evaluation
        self.points = points
        self.steps = frozenset(steps)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self.measure(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step in self.steps or trainer.global_step == trainer.max_steps:
            self.measure(trainer, pl_module)

    def measure(self, trainer: L.Trainer, model: L.LightningModule) -> None:
        """Compute the kernel of this step, and write its file, scalars and picture."""
        assert isinstance(model, FieldModule)
        self.evaluation.stop_clock()
        step = trainer.global_step
        batch = model.batches.signal.get_batch(even_index(model.batches.signal.num_observations, self.points))
        coords, target = batch["coords"], batch["value"]
        where = [coords, *(batch[name] for name in ("covariance",) if name in batch)]
        with torch.no_grad():
            values = model.field(*(tensor.to(model.device) for tensor in where)).cpu()
        if not values.isfinite().all():
            raise Diverged(f"the field is not finite at step {step}")
        field = in_double(model.field)
        kernel = ntk.tangent_kernel(field, *(tensor.double() for tensor in where))
        found = ntk.eigendecomposition(kernel)
        residual = values - target
        record = {
            "step": np.array(step),
            "coords": coords.numpy(),
            "target": target.numpy(),
            "values": values.numpy(),
            "residual": residual.numpy(),
            "kernel": kernel.float().numpy(),
            "eigenvalues": found.eigenvalues.numpy(),
            "eigenvectors": found.eigenvectors[:, :LEADING].float().numpy(),
            "energy": ntk.energy_shares(found.eigenvectors, target).numpy(),
            "mse": residual.double().square().mean().numpy(),
        }
        reason = why_not_predicted(trainer, model, self.points)
        if step == 0 and reason is None:
            try:
                record |= predict(trainer, field, kernel, where, residual)
            except ValueError as error:
                reason = str(error)
        np.savez(self.directory / file_name(step), **record)
        ranks = summary(found.eigenvalues, torch.from_numpy(record["energy"]))
        self.evaluation.record(trainer, {k: v for k, v in ranks.items() if math.isfinite(v)})
        if self.evaluation.draws_on_the_way or step == trainer.max_steps:
            self.evaluation.show(trainer, {"ntk": ntk_figure.draw_ntk(self.so_far(step), reason)})

    def so_far(self, step: int) -> list[dict[str, np.ndarray]]:
        """What was computed up to a step, by rising step, also before the run was resumed."""
        files = sorted(self.directory.glob("ntk-*.npz"))
        return [dict(np.load(file)) for file in files if file.name <= file_name(step)]


def file_name(step: int) -> str:
    return f"ntk-{step:07d}.npz"


def even_index(total: int, points: int) -> Tensor:
    """`points` of range(total), spread evenly."""
    return torch.arange(points) * total // points


def in_double(field: nn.Module) -> nn.Module:
    """A copy of a field on the CPU that computes in float64 all the way to its value."""
    double: Any = copy.deepcopy(field).cpu().double()
    double.precision = "float32"
    return double


def summary(eigenvalues: Tensor, energy: Tensor) -> dict[str, float]:
    return {
        "ntk/effective_rank": ntk.effective_rank(eigenvalues),
        "ntk/entropy_rank": ntk.entropy_rank(eigenvalues),
        "ntk/condition": ntk.condition_number(eigenvalues),
        "ntk/largest_eigenvalue": float(eigenvalues[0]),
        "ntk/mean_eigenvalue": float(eigenvalues.mean()),
        "ntk/eigenvectors_for_90": float(ntk.num_for_share(energy, 0.9)),
    }


def why_not_predicted(trainer: L.Trainer, model: FieldModule, points: int) -> str | None:
    """Why the loss cannot be predicted from the kernel; None if it can."""
    total = model.batches.signal.num_observations
    if not trainer.optimizers:
        return "nothing is trained"
    (optimizer,) = trainer.optimizers
    options = optimizer.param_groups[0]
    schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
    constant = all(isinstance(s, torch.optim.lr_scheduler.ConstantLR) and s.factor == 1 for s in schedules)
    values = points * model.batches.signal.channels
    obstacles = {
        f"the optimizer is {type(optimizer).__name__}, not plain SGD": not isinstance(
            optimizer, torch.optim.SGD
        ),
        "SGD has momentum": options.get("momentum", 0) != 0,
        "SGD has weight decay": options.get("weight_decay", 0) != 0,
        "the learning rate changes (it needs schedule=constant)": not constant,
        "the loss is not the squared error alone": list(model.losses.values()) != [(1.0, mse)],
        "a batch is not all observations (it needs trainer.batch_size=null)": model.batches.size is not None,
        f"{points} points are not all {total} observations": points != total,
        "hidden layers run in bfloat16": getattr(model.field, "precision", "float32") != "float32",
        "the field changes with time by itself": bool(model.scheduled_modules),
        f"{values} values are more than {MOST_PREDICTED}": values > MOST_PREDICTED,
    }
    return next((reason for reason, holds in obstacles.items() if holds), None)


def predict(
    trainer: L.Trainer, field: nn.Module, kernel: Tensor, where: Sequence[Tensor], residual: Tensor
) -> dict[str, np.ndarray]:
    """The loss of the whole training, at log-spaced steps, by the kernel of its first.

    Raises:
        ValueError: The learning rate is beyond the stable one.
    """
    if residual.shape[1] > 1:
        kernel = ntk.tangent_kernel(field, *(tensor.double() for tensor in where), full=True)
    spaced = np.geomspace(1, max(1, trainer.max_steps), PREDICTED_AT).round()
    steps = np.unique(np.concatenate([[0], spaced])).astype(np.int64)
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    loss = ntk.predicted_loss(kernel, residual, rate, torch.from_numpy(steps))
    return {"predicted_steps": steps, "predicted_mse": loss.numpy()}
