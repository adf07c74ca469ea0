"""Field and forward map from a config and the spec of a signal: no data and no trainer are needed."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from coordnet.config.build import build
from coordnet.config.check import Config
from coordnet.errors import OptionError, UserError
from coordnet.fields.field import Field
from coordnet.fields.interpolation import Interpolation
from coordnet.fields.radiance_field import RadianceField
from coordnet.forward_maps.base import ForwardMap
from coordnet.signals.spec import SignalSpec
from coordnet.training.runtime import choose_precision


def is_trained(config: Config) -> bool:
    """False for an interpolation baseline, which has nothing to train."""
    return not config["baseline"]


def build_field(config: Config, spec: SignalSpec, allow: Sequence[str] = ()) -> Field | RadianceField:
    """Build the field that a config describes, with weights drawn from torch's global generator.

    Args:
        config: The run's config, checked by `check_config`.
        spec: Domain, channels and value range of the signal.
        allow: Packages that targets may lie in besides those of the shipped configs.

    Raises:
        UserError: A value is not allowed; the message names its key.
    """
    encoding = build(config["encoding"], "encoding", allow, domain=spec.domain)
    network = partial(build, config["network"], "network", allow)
    field: Field | RadianceField
    if config.get("radiance"):
        given = {"domain": spec.domain, "channels": spec.channels, "value_range": spec.value_range}
        radiance: RadianceField = build(
            config["radiance"], "radiance", allow, **given, encoding=encoding, network=network
        )
        field, safe = radiance, radiance.bfloat16_safe
    else:
        made = network(in_dim=encoding.out_dim, out_dim=spec.channels)
        field = Field(encoding, made, spec.value_range)
        safe = made.bfloat16_safe
    trainer = config["trainer"]
    chosen = choose_precision(trainer["precision"], safe, trainer["accelerator"])
    field.precision = "float32" if chosen == "float32" else "bfloat16"
    return field


def build_blank_interpolation(mode: Any, spec: SignalSpec) -> Interpolation:
    """Build the field of a baseline with black planes, which a checkpoint fills.

    Args:
        mode: The config's `baseline`, "bilinear" or "bicubic".
        spec: The spec of the image.

    Raises:
        UserError: The signal is no image, or the mode is unknown.
    """
    domain = spec.domain
    if domain.dim != 2:
        raise OptionError("baseline", mode, f"must be null for a signal in {domain.dim} dimensions")
    columns, rows = (-(-side // domain.train_stride) for side in domain.size)
    ends = domain.index_to_coords(
        torch.tensor([[0, 0], [(columns - 1) * domain.train_stride, (rows - 1) * domain.train_stride]])
    )
    return Interpolation(torch.zeros(rows, columns, spec.channels), ends[0], ends[1], mode)


def build_forward_map(
    config: Config, field: nn.Module, spec: SignalSpec, allow: Sequence[str] = ()
) -> ForwardMap:
    """Build the forward map of a config, with the further fields that the map needs.

    Args:
        config: The run's config, checked by `check_config`.
        field: The field that the map will be applied to.
        spec: Domain, channels and value range of the signal.
        allow: Packages that targets may lie in besides those of the shipped configs.

    Raises:
        UserError: A value is not allowed, or the map cannot be applied to a field of this kind.
    """
    forward_map: ForwardMap = build(config["forward_map"], "forward_map", allow)
    _check_kind(forward_map, field)
    forward_map.build_auxiliary_fields(partial(build_field, config, spec, allow))
    return forward_map


def _check_kind(forward_map: ForwardMap, field: nn.Module) -> None:
    """Refuse a field of values along rays, and a radiance field without rays."""
    name = type(forward_map).__name__
    if forward_map.requires_radiance_field and not isinstance(field, RadianceField):
        raise UserError(f"forward_map={name} needs a radiance field; choose one with radiance=")
    if isinstance(field, RadianceField) and not forward_map.requires_radiance_field:
        raise UserError(
            f"forward_map={name} does not render a radiance field; use radiance=null, or "
            "forward_map=hierarchical or occupancy_grid"
        )
