"""One training step: its parts, its scaling, and its memory."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from plain import PlainNetwork, plain_step
from timing import Times, in_turns, milliseconds, ratios, show, spread
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.fourier import gaussian
from coordnet.fields.base import Precision, encode_bfloat16
from coordnet.fields.field import Field
from coordnet.losses.mse import mse
from coordnet.networks.mlp import Mlp
from coordnet.signals.images.image import Image
from coordnet.training.runtime import choose_precision, keep_memory

POINTS, FREQUENCIES, DEPTH, WIDTH, CHANNELS = 65536, 256, 3, 256, 3
# glibc's own value after a process has freed a large block (M_MMAP_MAX is 65536).
MMAP_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD = (-4, 65536), (-3, 32 * 2**20), (-1, 64 * 2**20)


def let_memory_go() -> None:
    """The allocator as it comes."""
    libc = ctypes.CDLL(None)
    for option, value in (MMAP_MAX, MMAP_THRESHOLD, TRIM_THRESHOLD):
        libc.mallopt(option, value)
    libc.malloc_trim(0)


def flops(points: int = POINTS, depth: int = DEPTH, width: int = WIDTH) -> float:
    """Count operations of matrix products: forward, weight gradients, and input gradients but for the first layer."""
    widths = [2 * FREQUENCIES] + [width] * depth + [CHANNELS]
    layers = [n * m for n, m in pairwise(widths)]
    return 2.0 * points * (3 * sum(layers) - layers[0])


def batch(points: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return 2 * torch.rand(points, 2) - 1, torch.rand(points, CHANNELS)


def plain(points: int = POINTS) -> Callable[[], None]:
    coords, values = batch(points)
    model = PlainNetwork(10 * torch.randn(FREQUENCIES, 2), DEPTH, WIDTH, CHANNELS)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    return lambda: plain_step(model, optimizer, (coords + 1) / 2, values)


def auto() -> Precision:
    return "float32" if choose_precision("auto", True, "cpu") == "float32" else "bfloat16"


def field(precision: Precision, depth: int = DEPTH, width: int = WIDTH) -> Field:
    encoding = gaussian(Domain((512, 512), 2), 10, FREQUENCIES)
    return Field(encoding, Mlp(encoding.out_dim, CHANNELS, depth, width), (0.0, 1.0), precision)


def ours(
    precision: Precision, points: int = POINTS, depth: int = DEPTH, width: int = WIDTH
) -> Callable[[], None]:
    coords, values = batch(points)
    model = field(precision, depth, width)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def step() -> None:
        loss = mse({"value": model(coords)}, {"value": values}, model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def product(kind: torch.dtype) -> Callable[[], Tensor]:
    """A matrix product of the shape of a hidden layer."""
    left, right = torch.randn(POINTS, WIDTH).to(kind), torch.randn(WIDTH, WIDTH).to(kind)
    return lambda: left @ right


def kind(case: str) -> Precision:
    return "bfloat16" if case.endswith("bfloat16") else "float32"


def steps(rounds: int) -> Any:
    """A step of the standard image network (256 Gaussian frequencies, 3 hidden layers of 256, 65,536 points, Adam):
    plain PyTorch in float32, with the allocator as it comes and as coordnet sets it, and coordnet's own; beside the
    rate of the machine's matrix products of (65536, 256) and (256, 256)."""
    loop = plain()

    def kept(step: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            keep_memory()
            return step()

        return run

    def let_go() -> None:
        let_memory_go()
        loop()

    cases: dict[str, Callable[[], object]] = {
        "plain PyTorch": let_go,
        "plain PyTorch, memory kept": kept(loop),
        "coordnet, float32": kept(ours("float32")),
        f"coordnet, auto: {auto()}": kept(ours(auto())),
    }
    times = in_turns(cases, rounds, "step", repeats=2)
    keep_memory()
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    products = in_turns({name: product(kind) for name, kind in kinds.items()}, rounds, "products", repeats=5)
    rates = {name: 2e-9 * POINTS * WIDTH**2 / (median(ms) / 1e3) for name, ms in products.items()}
    share = {name: flops() / 1e9 / (median(ms) / 1e3) for name, ms in times.items()}
    show(
        [
            {
                "what": name,
                "ms": spread(ms),
                "times plain": spread(ratios(times["plain PyTorch"], ms)),
                "GFLOP/s": f"{share[name]:.0f}",
                "of matrix products": f"{share[name] / rates[kind(name)]:.2f}",
            }
            for name, ms in times.items()
        ]
    )
    print(f"\nMatrix products: {', '.join(f'{name} {rate:.0f} GFLOP/s' for name, rate in rates.items())}")
    print(f"The step is {flops() / 1e9:.1f} GFLOP.\n")
    return {"ms": times, "products_gflops": rates, "shares_ms": shares(rounds)}


def shares(rounds: int) -> Times:
    """Time the parts of one step in the precision that `auto` chooses: encoding, network, backward, optimizer."""
    coords, values = batch(POINTS)
    model = field(auto())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    found: Times = {"encoding": [], "network and loss": [], "backward": [], "optimizer": []}
    state: dict[str, Tensor] = {}

    def encode() -> None:
        features = model.encoding(coords) if auto() == "float32" else encode_bfloat16(model.encoding, coords)
        state["features"] = features

    def forward() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=auto() == "bfloat16"):
            raw = model.network(state["features"])
        state["loss"] = (model.network.output_activation(raw.float()) - values).square().mean()

    def backward() -> None:
        optimizer.zero_grad()
        state["loss"].backward(retain_graph=True)

    for _ in range(rounds):
        for name, part in zip(found, (encode, forward, backward, optimizer.step), strict=True):
            found[name].append(milliseconds(part))
    total = sum(median(ms) for ms in found.values())
    show(
        [{"what": name, "ms": spread(ms), "share": f"{median(ms) / total:.0%}"} for name, ms in found.items()]
    )
    return found


def scaling(rounds: int) -> Any:
    """Samples per second by points in a batch, width and depth of the network, and size of the image.

    The last are steps of 8,192 pixels drawn from it, drawing included."""
    cases = {
        f"{points:,} points, depth {depth}, width {width}": (points, depth, width)
        for points, depth, width in (
            *((points, DEPTH, WIDTH) for points in (1024, 4096, 16384, 65536, 262144)),
            *((16384, DEPTH, width) for width in (32, 64, 128, 512)),
            *((16384, depth, WIDTH) for depth in (1, 2, 4, 8)),
        )
    }
    found = in_turns(
        {name: ours(auto(), *shape) for name, shape in cases.items()}, rounds, "scaling", repeats=2
    )
    rows = []
    for name, (points, depth, width) in cases.items():
        rate = flops(points, depth, width) / 1e6 / median(found[name])
        per_second = points / median(found[name])
        rows.append(
            {
                "what": name,
                "ms": spread(found[name]),
                "k samples/s": f"{per_second:.0f}",
                "GFLOP/s": f"{rate:.0f}",
            }
        )
    images = {f"image of {side} x {side}": from_image(side) for side in (512, 2048, 10000)}
    found |= in_turns(images, rounds, "images", repeats=10)
    rows += [
        {
            "what": name,
            "ms": spread(found[name]),
            "k samples/s": f"{8192 / median(found[name]):.0f}",
            "GFLOP/s": "",
        }
        for name in images
    ]
    show(rows)
    return found


def from_image(side: int) -> Callable[[], None]:
    """Steps on pixels of an image of random bytes."""
    image = Image(torch.randint(256, (side, side, 3), dtype=torch.uint8))
    model = field(auto())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def step() -> None:
        drawn = image.get_batch(torch.randint(image.num_observations, (8192,)))
        loss = mse({"value": model(drawn["coords"])}, drawn, model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


PEAK = """
import sys
sys.path.insert(0, {folder!r})
import step
step.keep_memory()
take = {make}
before = step.resident("VmRSS")
for _ in range(3):
    take()
print((step.resident("VmHWM") - before) // 2**20)
"""


def resident(name: str) -> int:
    """Bytes of this process, by a name of /proc/self/status."""
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines[name].split()[0]) * 1024


def memory(rounds: int) -> Any:
    """Measure the peak memory of three steps of the standard network beyond the memory of the imports."""
    makes = {
        "plain PyTorch": "step.plain()",
        "coordnet, float32": "step.ours('float32')",
        f"coordnet, auto: {auto()}": "step.ours(step.auto())",
    }
    folder = str(Path(__file__).parent)
    found = {}
    for name, make in makes.items():
        command = [sys.executable, "-c", PEAK.format(folder=folder, make=make)]
        found[name] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    show([{"what": name, "MiB": str(mib)} for name, mib in found.items()])
    return found
