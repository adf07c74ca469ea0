"""The neural tangent kernel while a field trains."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from coordnet.diagnostics import ntk, ntk_figure
from coordnet.errors import Diverged, OptionError
from coordnet.evaluation.media import Picture
from coordnet.forward_maps.point import PointEvaluation
from coordnet.losses.mse import mse
from coordnet.options import Range, validate_ranges
from coordnet.training.callbacks.evaluation import evaluation_of
from coordnet.training.module import FieldModule

MOST_PREDICTED = 4096
PREDICTED_AT = 200
LEADING = 128


class NTKCallback(L.Callback):
    """Computes the tangent kernel at some training points, at the first step, the last step and chosen steps.

    The callback draws no random number and changes no parameter. The run's EvaluationCallback has to come before this
    callback, whose files a checkpoint of the same step may not lack.

    Each step leaves ntk-STEP.npz in the run's directory, with plain arrays: step, coords (n, d), target, values and
    residual (n, C), kernel (n, n) float32, eigenvalues (n,), the first 128 eigenvectors (n, 128) float32, the target's
    energy along all eigenvectors (n,), mse; and at step 0 predicted_steps and predicted_mse, where training is gradient
    descent with that kernel.

    Args:
        points: Number of training points, spread evenly over the observations.
        steps: Steps besides the first and the last; steps beyond the last are never reached.
    """

    @validate_ranges
    def __init__(
        self,
        points: Annotated[int, Range(1, 4096)] = 256,
        steps: Annotated[Sequence[int], Range(0, 10**9)] = (),
    ) -> None:
        self.points = points
        self.steps = frozenset(steps)

    def check_fit(self, module: FieldModule) -> None:
        """Refuse a signal that the kernel cannot be computed on.

        Raises:
            OptionError: The signal has fewer observations than `points`, or is not observed directly.
        """
        if not isinstance(module.forward_map, PointEvaluation):
            raise OptionError(
                "callbacks.ntk.points",
                self.points,
                "needs a field that is observed directly (forward_map=point)",
            )
        total = module.batches.signal.num_observations
        if self.points > total:
            raise OptionError(
                "callbacks.ntk.points",
                self.points,
                f"must be at most the {total} observations of this signal",
            )

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, FieldModule)
        self.check_fit(pl_module)

    def next_due_step(self, step: int) -> float:
        return min((chosen for chosen in self.steps if chosen > step), default=math.inf)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 0:
            self.measure(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step in self.steps or trainer.global_step == trainer.max_steps:
            self.measure(trainer, pl_module)

    def measure(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Compute the kernel of this step, and write its file, scalars and picture."""
        assert isinstance(module, FieldModule)
        if not trainer.is_global_zero:
            return
        evaluation = evaluation_of(trainer)
        evaluation.clock.pause()
        step = trainer.global_step
        signal = module.batches.signal
        batch = signal.get_batch(_even_index(signal.num_observations, self.points))
        coords, target = batch["coords"], batch["value"]
        where = [coords, *(batch[name] for name in ("covariance",) if name in batch)]
        with torch.no_grad():
            values = module.field(*(tensor.to(module.device) for tensor in where)).cpu()
        if not values.isfinite().all():
            raise Diverged(f"the field is not finite at step {step}")
        field = in_double(module.field)
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
        reason = why_not_predicted(trainer, module, self.points)
        if step == 0 and reason is None:
            try:
                record |= _predict(trainer, field, kernel, where, residual)
            except ValueError as error:
                reason = str(error)
        directory = Path(trainer.default_root_dir)
        np.savez(directory / _file_name(step), **record)
        ranks = _summary(found.eigenvalues, torch.from_numpy(record["energy"]))
        logger = evaluation.logger_of(trainer)
        logger.log(ranks, step)
        if evaluation.draws_during_training or step == trainer.max_steps:
            logger.show({"ntk": Picture(ntk_figure.draw_ntk(_records(directory, step), reason))}, step)


def _records(directory: Path, step: int) -> list[dict[str, np.ndarray]]:
    """The files up to a step, by rising step, also from before the run was resumed."""
    files = sorted(directory.glob("ntk-*.npz"))
    return [dict(np.load(file)) for file in files if file.name <= _file_name(step)]


def _file_name(step: int) -> str:
    return f"ntk-{step:07d}.npz"


def _even_index(total: int, points: int) -> Tensor:
    """`points` of range(total), spread evenly."""
    return torch.arange(points) * total // points


def in_double(field: nn.Module) -> nn.Module:
    """A copy of a field on the CPU that computes in float64 all the way to its value."""
    double: Any = copy.deepcopy(field).cpu().double()
    double.precision = "float32"
    return double


def _summary(eigenvalues: Tensor, energy: Tensor) -> dict[str, float]:
    return {
        "ntk/effective_rank": ntk.effective_rank(eigenvalues),
        "ntk/entropy_rank": ntk.entropy_rank(eigenvalues),
        "ntk/condition": ntk.condition_number(eigenvalues),
        "ntk/largest_eigenvalue": float(eigenvalues[0]),
        "ntk/mean_eigenvalue": float(eigenvalues.mean()),
        "ntk/eigenvectors_for_90": float(ntk.num_for_share(energy, 0.9)),
    }


def why_not_predicted(trainer: L.Trainer, module: FieldModule, points: int) -> str | None:
    """Why the loss cannot be predicted from the kernel; None if it can."""
    total = module.batches.signal.num_observations
    if not trainer.optimizers:
        return "nothing is trained"
    (optimizer,) = trainer.optimizers
    options = optimizer.param_groups[0]
    schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
    constant = all(isinstance(s, torch.optim.lr_scheduler.ConstantLR) and s.factor == 1 for s in schedules)
    values = points * module.batches.signal.channels
    obstacles = {
        f"the optimizer is {type(optimizer).__name__}, not plain SGD": not isinstance(
            optimizer, torch.optim.SGD
        ),
        "gradients are clipped": module.gradient_clip_val is not None,
        "learning rates differ between parameters": len({g["lr"] for g in optimizer.param_groups}) > 1,
        "SGD has momentum": options.get("momentum", 0) != 0,
        "SGD has weight decay": options.get("weight_decay", 0) != 0,
        "the learning rate changes (it needs schedule=constant)": not constant,
        "the loss is not the squared error alone": list(module.losses.values()) != [(1.0, mse)],
        "a batch is not all observations (it needs trainer.batch_size=null)": module.batches.size is not None,
        f"{points} points are not all {total} observations": points != total,
        "hidden layers run in bfloat16": getattr(module.field, "precision", "float32") != "float32",
        "the field changes with time by itself": bool(module.scheduled_modules),
        f"{values} values are more than {MOST_PREDICTED}": values > MOST_PREDICTED,
    }
    return next((reason for reason, holds in obstacles.items() if holds), None)


def _predict(
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
