"""A trained field without its data: everything comes from the run's directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from coordnet.config.check import Config, check_settings
from coordnet.errors import OptionError, UserError, shown
from coordnet.forward_maps.base import ForwardMap
from coordnet.runs.checkpoint import load_checkpoint
from coordnet.runs.config_file import read_config
from coordnet.signals.spec import SignalSpec
from coordnet.training.build_field import (
    build_blank_interpolation,
    build_field,
    build_forward_map,
    is_trained,
)

CheckpointName = Literal["last", "previous", "best"]


@dataclass(frozen=True)
class LoadedRun:
    """A trained field with the means to evaluate the field.

    Attributes:
        directory: The run's directory.
        checkpoint: The name of the checkpoint, "last", "previous" or "best".
        config: The config that the checkpoint was trained with.
        spec: Domain, channels, value range and scene of the signal.
        step: The optimizer's step of the checkpoint.
        field: Maps coordinates (*, d) to values (*, C), in evaluation mode.
        forward_map: Maps the field and a batch to named predictions, in evaluation mode.
        device: The device of field and forward map.
    """

    directory: Path
    checkpoint: str
    config: Config
    spec: SignalSpec
    step: int
    field: Any
    forward_map: ForwardMap
    device: torch.device

    @torch.no_grad()
    def __call__(self, coords: Tensor) -> Tensor:
        """Values (*, C) of the field at coords (*, d), without gradients, on the CPU."""
        values: Tensor = self.field(coords.to(self.device))
        return values.cpu()

    @torch.no_grad()
    def predict(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The prediction of the forward map for a batch, without gradients, on the CPU.

        Args:
            batch: Tensors (n, ...) by name, among them `forward_map.required_keys`.
        """
        placed = {name: tensor.to(self.device) for name, tensor in batch.items()}
        prediction = self.forward_map(self.field, placed)
        return {name: tensor.cpu() for name, tensor in prediction.items()}


def load(
    run: str | Path,
    checkpoint: CheckpointName = "last",
    device: str | torch.device = "cpu",
    allow: Sequence[str] = (),
) -> LoadedRun:
    """Load a trained field from the directory of a run; the data of the run are not needed.

        run = coordnet.load("outputs/run/20260101-120000-abcd")
        run.field(torch.zeros(1, 2))     # (1, 3): the color in the middle of the image

    Args:
        run: The run's directory, which may have been renamed or copied from another machine.
        checkpoint: "last", "previous" or "best".
        device: The device that the field is placed on, whichever device the field was trained on.
        allow: Prefixes of further packages that the targets of the config may lie in, such as "mypkg.".

    Raises:
        UserError: The directory is no run, the checkpoint is missing or damaged, or either is of another format.
    """
    directory = Path(run)
    if checkpoint not in ("last", "previous", "best"):
        raise OptionError("checkpoint", checkpoint, "must be last, previous or best")
    read_config(directory)
    path = directory / "checkpoints" / f"{checkpoint}.ckpt"
    content = load_checkpoint(path)
    missing = [key for key in ("config", "spec", "state_dict", "global_step") if key not in content]
    if missing:
        raise UserError(f"checkpoint {path} lacks {', '.join(missing)}; no run wrote the file")
    config, state, step = content["config"], content["state_dict"], content["global_step"]
    if not isinstance(config, Mapping) or not isinstance(state, Mapping) or not isinstance(step, int):
        raise UserError(f"checkpoint {path} is damaged: global_step={shown(step)} or the config is malformed")
    check_settings(config)
    spec = SignalSpec.from_state(content["spec"])
    # The weights drawn here are replaced, so the generators of the caller are left as they are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        field: nn.Module = (
            build_field(config, spec, allow)
            if is_trained(config)
            else build_blank_interpolation(config["baseline"], spec)
        )
        forward_map = build_forward_map(config, field, spec, allow)
    for prefix, module in (("field.", field), ("forward_map.", forward_map)):
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        load_state(module, part, path)
        module.to(device).eval()
    return LoadedRun(directory, checkpoint, config, spec, step, field, forward_map, torch.device(device))


def load_state(module: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    """Load the state of a module that was read from a checkpoint.

    Raises:
        UserError: The state belongs to a module of another shape.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"checkpoint {path} does not fit the run's config: {reason}") from None
