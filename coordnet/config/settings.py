"""The settings of a run that belong to no group: names, types and ranges in one place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from coordnet.options import Range

MaxSteps = Annotated[int, Range(0, 10**9)]
Steps = Annotated[int, Range(1, 10**9)]
Node = Mapping[str, Any]


@dataclass(frozen=True)
class RunSettings:
    """The top-level keys of a config.

    Attributes:
        signal: Node of the signal.
        encoding: Node of the encoding.
        network: Node of the network.
        forward_map: Node of the forward map.
        loss: Nodes of the loss terms by name.
        metric: Nodes of further metrics by name.
        optimizer: Node of the optimizer.
        schedule: Node of the learning-rate schedule; null keeps the rate constant.
        callbacks: Nodes of callbacks by name.
        logger: Nodes of loggers by name.
        trainer: The keys of `TrainerSettings`.
        evaluator: Node of the evaluator; null takes the evaluator for the kind of signal.
        radiance: Node of the radiance field; null takes a field of values.
        name: Name of the directory of runs.
        label: Name of the run in tables; null takes `name`.
        seed: Seed of all random draws.
        max_steps: Number of training steps.
        eval_every: Number of steps between evaluations and checkpoints.
        threads: Number of threads; null takes all cores.
        max_memory: Memory that training may take by estimate; null takes the available memory.
        baseline: Interpolation of the training pixels in place of training; null trains.
    """

    signal: Node
    encoding: Node
    network: Node
    forward_map: Node
    loss: Node
    metric: Node
    optimizer: Node
    schedule: Node | None
    callbacks: Node
    logger: Node
    trainer: Node
    evaluator: Node | None
    name: str | int | float
    label: str | int | float | None
    seed: Annotated[int, Range(0, 2**32 - 1)]
    max_steps: MaxSteps
    eval_every: Steps
    threads: Annotated[int | None, Range(1, 4096)]
    max_memory: Annotated[float | None, Range(0, 2**20, "GiB", above=True)]
    baseline: Literal["bilinear", "bicubic"] | None
    radiance: Node | None = None


@dataclass(frozen=True)
class TrainerSettings:
    """The keys of the group trainer. Keys with a default are arguments of Lightning's Trainer by their own names.

    Attributes:
        batch_size: Number of observations in each step; null takes all observations.
        precision: Precision of the hidden layers.
        accelerator: Kind of device.
        devices: Number of processes that share each batch.
        log_every_n_steps: Number of steps between logged values of the loss.
        pictures: Steps at which media are drawn: log-spaced steps and the last step, or the last step only.
    """

    batch_size: Annotated[int | None, Range(1, 2**31, "observations")]
    precision: Literal["auto", "float32", "bfloat16", "adaptive"]
    accelerator: Literal["cpu", "cuda", "mps", "auto"]
    devices: Annotated[int, Range(1, 1024)]
    log_every_n_steps: Steps
    pictures: Literal["log_spaced", "end"]
    gradient_clip_val: Annotated[float | None, Range(0, 1e38)] = None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    accumulate_grad_batches: Annotated[int | None, Range(1, 10**6, "batches")] = None
    num_nodes: Annotated[int | None, Range(1, 4096)] = None
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] | None = None
    profiler: Literal["simple", "advanced", "pytorch"] | None = None
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    detect_anomaly: bool | None = None
    enable_model_summary: bool | None = None
    sync_batchnorm: bool | None = None


@dataclass(frozen=True)
class SweepSettings:
    """The top-level keys that a sweep reads and the config of a run lacks.

    Attributes:
        jobs: Number of processes side by side.
        job_timeout: Time after which a job is ended; null sets no limit.
        match: Quantity that is equal between variants.
    """

    jobs: Annotated[int, Range(1, 4096)] = 1
    job_timeout: Annotated[float | None, Range(0, 1e9, "seconds", above=True)] = None
    match: Literal["steps", "parameters", "seconds"] = "steps"


@dataclass(frozen=True)
class OptimizerSettings:
    """The options of an optimizer that a run reads itself.

    Attributes:
        encoding_lr: Learning rate of the parameters of encodings; null takes the rate of the optimizer.
    """

    encoding_lr: Annotated[float | None, Range(0, 1e38)] = None


@dataclass(frozen=True)
class LossSettings:
    """The options of a loss term that a run reads itself.

    Attributes:
        weight: Factor of the term in the sum.
    """

    weight: Annotated[float, Range(0, 1e38)] = 1.0
