"""Seconds of training until a picture is learned."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from config import composed
from plain import PlainNetwork, plain_step
from rich.progress import track
from step import let_memory_go
from timing import ratios, show, spread

from coordnet.config.check import Config
from coordnet.metrics.psnr import psnr
from coordnet.runs import metrics_file
from coordnet.training.prepare import prepare
from coordnet.training.run import start
from coordnet.training.runtime import keep_memory

GOALS = {"test/psnr_all": 27.3, "test/psnr": 26.5}
Curve = list[dict[str, float]]


def coordnet(config: Config) -> Curve:
    keep_memory()
    with tempfile.TemporaryDirectory() as directory:
        start(config, Path(directory) / "run")
        return list(metrics_file.read(Path(directory) / "run" / "metrics.csv"))


def plain_loop(config: Config) -> Curve:
    """The same pixels, network, frequencies, optimizer, schedule and batch, in float32 PyTorch."""
    let_memory_go()
    _, reference = prepare(config)
    image: Any = reference.batches.signal
    encoding: Any = reference.field.encoding
    torch.manual_seed(0)
    model = PlainNetwork(encoding.frequencies, config["network"]["depth"], config["network"]["width"])
    for layer in model.layers:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.xavier_normal_(layer.weight)
            torch.nn.init.normal_(layer.bias, std=0.01)
    last, every = config["max_steps"], config["eval_every"]
    optimizer = torch.optim.Adam(model.parameters(), config["optimizer"]["lr"], config["optimizer"]["betas"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, last)
    everything = image.domain.grid().reshape(-1, 2)
    target = image.values(image.pixels)
    seconds, curve = 0.0, []
    size = config["trainer"]["batch_size"]
    for step in range(1, last + 1):
        started = time.perf_counter()
        drawn = image.get_batch(torch.randint(image.num_observations, (size,)))
        plain_step(model, optimizer, (drawn["coords"] + 1) / 2, drawn["value"])
        schedule.step()
        seconds += time.perf_counter() - started
        if step % every == 0 or step == last:
            with torch.no_grad():
                parts = [model((part + 1) / 2) for part in everything.split(65536)]
            prediction = torch.cat(parts).reshape(target.shape)
            offset = (slice(1, None, 2), slice(1, None, 2))
            scores = {
                "test/psnr_all": psnr(prediction, target),
                "test/psnr": psnr(prediction[offset], target[offset]),
            }
            curve.append({"step": step, "seconds": seconds, **scores})
    return curve


def reached(curve: Curve, metric: str) -> float:
    """Seconds of training until the goal, at the resolution of the evaluations; infinite if it is not reached."""
    found = [row["seconds"] for row in curve if row[metric] >= GOALS[metric]]
    return min(found, default=float("inf"))


def fit(rounds: int) -> Any:
    """Seconds of training, evaluations left out, until `experiment=astronaut_fast` and a plain float32 PyTorch loop of
    the same recipe reach 27.3 dB on all pixels and 26.5 dB on the offset grid; the seed of the loop's weights is 0."""
    config = composed("experiment=astronaut_fast", "trainer.pictures=end")
    ways: dict[str, Callable[[Config], Curve]] = {"coordnet": coordnet, "plain PyTorch": plain_loop}
    curves: dict[str, list[Curve]] = {name: [] for name in ways}
    for _ in track(range(rounds), "fit", transient=True):
        for name, train in ways.items():
            curves[name].append(train(config))
    rows = []
    for metric, goal in GOALS.items():
        seconds = {name: [reached(curve, metric) for curve in found] for name, found in curves.items()}
        times = spread(ratios(seconds["plain PyTorch"], seconds["coordnet"]))
        rows.append(
            {
                "what": f"{metric} of {goal} dB",
                **{f"{name}, s": spread(each) for name, each in seconds.items()},
                "times as fast": times,
            }
        )
    show(rows)
    for name, found in curves.items():
        ends = [curve[-1] for curve in found]
        at_end = ", ".join(f"{m} {spread([e[m] for e in ends])}" for m in (*GOALS, "seconds"))
        print(f"\n{name} at step {ends[0]['step']:.0f}: {at_end}")
    return curves
