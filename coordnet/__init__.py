"""Coordinate networks: a signal is fitted by a field (encoding and network) that is observed through a forward map.

A trained run is shown without its data:

    import torch
    import coordnet

    run = coordnet.load("outputs/run/20260101-120000-abcd")
    run.spec.domain.size                     # (512, 341): width and height of the image
    run(torch.tensor([[0.0, 0.0]]))          # (1, 3): the color in the middle of the image, in [0, 1]
    run.predict({"coords": torch.zeros(5, 2)})["value"]    # (5, 3): the prediction of the forward map

A field is fitted by Lightning without a config:

    import lightning as L
    from coordnet.encodings.fourier import gaussian
    from coordnet.forward_maps.point import PointEvaluation
    from coordnet.networks.mlp import Mlp
    from coordnet.signals.images.image import skimage_image

    signal = skimage_image("coffee", resize=[64, 64])
    encoding = gaussian(signal.domain)
    field = coordnet.Field(encoding, Mlp(encoding.out_dim, signal.channels), signal.value_range)
    batches = coordnet.BatchSampler(signal, 4096, seed=0)
    module = coordnet.FieldModule(field, PointEvaluation(), batches, torch.optim.Adam)
    L.Trainer(max_steps=500, max_epochs=-1).fit(module)

Coordinates are (x, y, ...) with the longest axis in [-1, 1]; frequencies are in cycles across the domain. The names
below are the public API. They are imported when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coordnet.cameras import Cameras as Cameras
    from coordnet.coords import Domain as Domain
    from coordnet.encodings.base import Encoding as Encoding
    from coordnet.errors import OptionError as OptionError
    from coordnet.errors import UserError as UserError
    from coordnet.evaluation.base import EvaluationResult as EvaluationResult
    from coordnet.evaluation.base import Evaluator as Evaluator
    from coordnet.evaluation.base import GridComparison as GridComparison
    from coordnet.fields.field import Field as Field
    from coordnet.fields.radiance_field import RadianceField as RadianceField
    from coordnet.forward_maps.base import ForwardMap as ForwardMap
    from coordnet.losses.base import Loss as Loss
    from coordnet.networks.base import Network as Network
    from coordnet.runs.load import LoadedRun as LoadedRun
    from coordnet.runs.load import load as load
    from coordnet.signals.base import Signal as Signal
    from coordnet.signals.spec import SignalSpec as SignalSpec
    from coordnet.training.batches import BatchSampler as BatchSampler
    from coordnet.training.module import FieldModule as FieldModule

__version__ = "0.1.0"

_MODULES = {
    "BatchSampler": "coordnet.training.batches",
    "Cameras": "coordnet.cameras",
    "Domain": "coordnet.coords",
    "Encoding": "coordnet.encodings.base",
    "EvaluationResult": "coordnet.evaluation.base",
    "Evaluator": "coordnet.evaluation.base",
    "Field": "coordnet.fields.field",
    "FieldModule": "coordnet.training.module",
    "ForwardMap": "coordnet.forward_maps.base",
    "GridComparison": "coordnet.evaluation.base",
    "Loss": "coordnet.losses.base",
    "LoadedRun": "coordnet.runs.load",
    "Network": "coordnet.networks.base",
    "OptionError": "coordnet.errors",
    "RadianceField": "coordnet.fields.radiance_field",
    "Signal": "coordnet.signals.base",
    "SignalSpec": "coordnet.signals.spec",
    "UserError": "coordnet.errors",
    "load": "coordnet.runs.load",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'coordnet' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
