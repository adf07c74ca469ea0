"""Whatever a file or a config holds, it is read, or refused in one line; soon, and without a trace on the disk."""

import io
import math
import pickle
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from support import make_config

from coordnet.config.build import build
from coordnet.config.check import check_config
from coordnet.config.compose import compose_config
from coordnet.config.shipped import config_dir
from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.config_file import read_config
from coordnet.runs.directory import LOCK, lock_run_dir, read_status
from coordnet.signals.images.image_file import read_image

CPU_SECONDS = 2.0
MEGABYTES = 300


def fuzz(check: Callable[[Any], None], inputs: st.SearchStrategy[Any], examples: int) -> None:
    """Call `check` with the same examples each time."""
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    chosen = settings(
        derandomize=True, database=None, deadline=None, max_examples=examples, suppress_health_check=quiet
    )
    chosen(given(inputs)(check))()


def read_or_refused(read: Callable[[], object]) -> None:
    started = time.process_time()
    try:
        read()
    except UserError as error:
        assert str(error) and "\n" not in str(error)
    assert time.process_time() - started < CPU_SECONDS


def peak() -> float:
    """The most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, which must stay empty; and little memory may be taken."""
    place = tmp_path / "room"
    place.mkdir()
    monkeypatch.chdir(place)
    before = peak()
    yield place
    assert not list(place.iterdir())
    assert peak() - before < MEGABYTES


# Files

NUMBERS = [
    n.to_bytes(4, order) for n in (0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1) for order in ("big", "little")
]


@st.composite
def damaged(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """An original with bytes changed, numbers made extreme, its end cut off, or a part of another put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(len(data), draw(st.sampled_from((64, 256, len(data)))))))
        match draw(st.sampled_from(("byte", "byte", "number", "cut", "splice"))):
            case "byte":
                data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "number":
                data[place : place + 4] = draw(st.sampled_from(NUMBERS))
            case "cut":
                del data[place:]
            case "splice":
                other = draw(st.sampled_from(originals))
                data[place:place] = other[draw(st.integers(0, len(other))) :][:200]
    return bytes(data)


def picture(format: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    Pillow.fromarray(noise).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def exif() -> Pillow.Exif:
    made = Pillow.Exif()
    made[274] = 6
    return made


PICTURES = {
    "PNG": [
        picture("PNG", exif=exif(), dpi=(72, 72)),
        picture("PNG", "P", transparency=3),
        picture("PNG", "LA"),
        picture("PNG", "1"),
        picture("PNG", save_all=True, append_images=[Pillow.new("RGB", (9, 12))]),
    ],
    "JPEG": [picture("JPEG", exif=exif()), picture("JPEG", "CMYK"), picture("JPEG", "L", progressive=True)],
    "WEBP": [picture("WEBP", exif=exif()), picture("WEBP", "RGBA", lossless=True)],
    "TIFF": [
        picture("TIFF", compression=compression)
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    ]
    + [picture("TIFF", mode) for mode in ("I;16", "F", "CMYK", "LAB", "1", "P")],
    "BMP": [picture("BMP"), picture("BMP", "P"), picture("BMP", "1"), picture("DIB")],
}


def with_checksums(png: bytes) -> bytes:
    """With the checksum of every chunk set right, so that damage gets past it."""
    made, place = bytearray(png), 8
    while place + 12 <= len(made):
        (length,) = struct.unpack_from(">I", made, place)
        end = place + 8 + length
        if end + 4 > len(made):
            break
        struct.pack_into(">I", made, end, zlib.crc32(made[place + 4 : end]))
        place = end + 4
    return bytes(made)


def read_picture(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    read_or_refused(lambda: read_image(path, max_pixels=10**6))


@pytest.mark.parametrize("format", PICTURES)
def test_damaged_pictures(tmp_path: Path, format: str) -> None:
    for content in PICTURES[format]:
        read_picture(tmp_path / "a", content)
    inputs = damaged(PICTURES[format])
    if format == "PNG":
        inputs |= inputs.map(with_checksums)
    fuzz(lambda content: read_picture(tmp_path / "a", content), inputs, 500)


def test_random_bytes_as_a_picture(tmp_path: Path) -> None:
    starts = st.sampled_from([b"", *(content[:12] for contents in PICTURES.values() for content in contents)])
    inputs = st.builds(bytes.__add__, starts, st.binary(max_size=300))
    fuzz(lambda content: read_picture(tmp_path / "a", content), inputs, 500)


# Checkpoints


@pytest.fixture
def saved(tmp_path: Path) -> bytes:
    """A checkpoint as a run writes it."""
    layer = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    adam.step()
    content = {"state_dict": layer.state_dict(), "optimizer_states": [adam.state_dict()], "global_step": 1}
    checkpoint.save({**content, "config": {"a": [1, 2.5, None, True, "x"]}}, tmp_path / "a.ckpt")
    return (tmp_path / "a.ckpt").read_bytes()


def members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(parts: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def load(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    read_or_refused(lambda: checkpoint.load_checkpoint(path))


def test_damaged_checkpoints(tmp_path: Path, saved: bytes) -> None:
    assert checkpoint.load_checkpoint(tmp_path / "a.ckpt")["global_step"] == 1
    fuzz(lambda content: load(tmp_path / "a.ckpt", content), damaged([saved]) | st.binary(max_size=200), 400)


def test_checkpoints_with_right_checksums_around_damaged_parts(tmp_path: Path, saved: bytes) -> None:
    parts = members(saved)
    inputs = {name: damaged([content or b"0"]) for name, content in parts.items()}
    one = st.sampled_from([name for name in parts if name.endswith("data.pkl")] * 20 + list(parts))
    changed = one.flatmap(lambda name: inputs[name].map(lambda content: zipped({**parts, name: content})))
    fuzz(lambda content: load(tmp_path / "a.ckpt", content), changed, 600)


def test_checkpoints_with_foreign_members(tmp_path: Path, saved: bytes) -> None:
    names = [
        "../outside",
        "/outside",
        "archive/constants.pkl",
        "archive/code/a.py",
        "other/data.pkl",
        "ü",
        "archive",
    ]
    foreign = st.dictionaries(
        st.sampled_from(names), st.sampled_from([b"", bytes(10**6), b"\x80\x02N."]), min_size=1
    )
    kinds = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    inputs = st.builds(lambda others, kind: zipped({**members(saved), **others}, kind), foreign, kinds)
    fuzz(lambda content: load(tmp_path / "a.ckpt", content), inputs, 60)
    assert {path.name for path in tmp_path.iterdir()} == {"a.ckpt", "room"}


class Canary:
    """Unpickling one writes to the current directory."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("canary"),)


def test_pickles_are_never_run(tmp_path: Path, saved: bytes) -> None:
    pickle.loads(pickle.dumps(Canary()))
    Path("canary").unlink()
    contents = st.sampled_from(
        [Canary(), {"state_dict": Canary()}, {"format_version": 1, "a": Canary()}, [1], 3, None]
    )
    pickles = st.builds(pickle.dumps, contents, st.integers(0, 5))
    inside = pickles.map(lambda content: zipped({**members(saved), "archive/data.pkl": content}))
    fuzz(lambda content: load(tmp_path / "a.ckpt", content), pickles | inside, 100)


# Files that a run leaves

LINES = ["step,seconds,train/loss", *(f"{step},{step / 10},{1 / (1 + step)}" for step in range(10)), ""]
STATUS = b'{"status": "running", "reason": null, "traceback": "a\\nb", "threads": 2}'
# The constructors of YAML raise more than YAMLError: texts such as !!int x are left out here.
PIECES = [
    *(
        b"\0",
        b"\t",
        b"\r",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"\n",
        b",",
        b'"',
        b"'",
    ),
    *(
        b"nan",
        b"inf",
        b"1e999",
        b"*a",
        b"&a [*a, *a]",
        b"<<: {a: 1}",
        b"!!python/object/apply:os.mkdir [canary]",
    ),
    *(b"%YAML 9.9\n---\n", b"? ", b": ", b"- ", b"|\n", b"\\ud800", b"[" * 100, b"{a: " * 100, b"9" * 4000),
]


@st.composite
def garbled(draw: st.DrawFn, original: bytes) -> bytes:
    """A text with pieces put in, or random bytes."""
    data = bytearray(draw(damaged([original]) | st.just(original) | st.binary(max_size=100)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.sampled_from(PIECES))
    return bytes(data)


def read_run(run: Path, name: str, content: bytes, read: Callable[[], object]) -> None:
    (run / name).write_bytes(content)
    read_or_refused(read)


def test_garbled_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        read_or_refused(lambda: metrics_file.read_valid_rows(path))
        assert "\n" not in metrics_file.read_valid_rows(path)[1]
        read_or_refused(lambda: metrics_file.read(path))
        read_or_refused(lambda: metrics_file.truncate_after(path, 5))

    fuzz(check, garbled("\n".join(LINES).encode()), 400)
    for content in (
        b"stop,a\n1,2\n",
        b"x" * 10**6,
        b"step," + b"x" * 10**6 + b"\n1,2\n",
        b"step\n" + b"1\n" * 10**4,
    ):
        check(content)


def test_garbled_status(tmp_path: Path) -> None:
    def check(content: bytes) -> None:
        read_run(tmp_path, "status.json", content, lambda: read_status(tmp_path))

    fuzz(check, garbled(STATUS), 500)
    for content in (
        b"[" * 10**5,
        b'{"status": "' + b"x" * 10**6 + b'"}',
        b'{"status": []}',
        b'{"a":' * 10**5,
    ):
        check(content)


def test_a_garbled_lock(tmp_path: Path) -> None:
    with lock_run_dir(tmp_path):
        (tmp_path / LOCK).write_bytes(b"\xff\n\0\nx")
        with pytest.raises(UserError, match="in use by") as error:
            lock_run_dir(tmp_path)
    assert "\n" not in str(error.value)


def laughs(levels: int) -> str:
    """A list of lists of lists ..., 10 of each, by anchors."""
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(["a0: &a0 [x]", *lines])


def test_garbled_configs(tmp_path: Path) -> None:
    def check(content: bytes) -> None:
        read_run(tmp_path, "config.yaml", content, lambda: check_config(read_config(tmp_path)))

    fuzz(check, garbled(yaml.safe_dump(make_config()).encode()), 150)
    deep = "".join(" " * i + f"k{i}:\n" for i in range(100))
    for text in (
        laughs(10),
        laughs(10).replace(": &", ": {<<: &"),
        "a: &a [*a]",
        deep,
        "a: " + "x" * 10**6,
        "a: \0",
    ):
        check(text.encode())


# Configs

HOSTILE = st.sampled_from(
    [
        *(
            -1,
            0,
            1,
            2,
            3,
            10**5,
            10**9,
            2**31,
            2**63,
            2**64,
            10**30,
            -(10**30),
            -2.5,
            0.5,
            1e-320,
            1e-30,
            1e30,
            -1e30,
        ),
        *(
            1e300,
            math.nan,
            math.inf,
            -math.inf,
            "",
            "x",
            "a\nb",
            "../..",
            "\0",
            "x" * 10**6,
            None,
            True,
            False,
        ),
        *(
            [],
            [1],
            [-1],
            [1, 2, 3],
            [[1]],
            [1e30],
            [10**30],
            [1e308],
            [None],
            [1] * 1000,
            {},
            {"a": 1},
            {1: 2},
        ),
        *({"_target_": "os.mkdir", "path": "canary"}, {"_target_": "coordnet.encodings.fourier.basic"}),
    ]
)
NEED_A_FILE = (
    "image",
    "fourier_features",
    "astronaut",
    "photo",
    "multiscale",
    "blender",
    "lego",
    "transforms",
)
# In place of the defaults, so that a signal is soon made.
SMALL = {"size": 16, "num_samples": 32, "font_size": 6.0, "frequencies": [3.0], "frequency": 3.0, "spokes": 4}


@cache
def nodes(group: str) -> dict[str, Mapping[str, Any]]:
    names = [file.stem for file in sorted((config_dir() / group).glob("*.yaml"))]
    found = {name: make_config(f"{group}={name}")[group] for name in names if name not in NEED_A_FILE}
    if group == "signal":
        return {
            name: {**node, **{key: SMALL[key] for key in SMALL if key in node}}
            for name, node in found.items()
        }
    return found


def places(node: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all options of a node and of those inside it."""
    for key, value in node.items():
        # A target of another name is refused, as test_build.py has it.
        if key != "_target_":
            yield (*path, key)
        if isinstance(value, Mapping):
            yield from places(value, (*path, key))


@st.composite
def hostile(draw: st.DrawFn, group: str) -> tuple[str, dict[str, Any]]:
    """A shipped option of a group and its node, with one or two values that nobody should give."""
    name = draw(st.sampled_from(sorted(nodes(group))))
    node: Any = deepcopy(nodes(group)[name])
    for _ in range(draw(st.integers(1, 2))):
        inner, path = node, draw(st.sampled_from([*places(node), ("unknown",)]))
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = deepcopy(draw(HOSTILE))
    return name, node


def test_hostile_encodings() -> None:
    def check(drawn: tuple[str, dict[str, Any]]) -> None:
        name, node = drawn
        domain = Domain((8, 12, 16) if name == "spherical_harmonics" else (12, 16), train_stride=2)

        def encode() -> None:
            encoding = build(node, "encoding", domain=domain)
            with torch.no_grad():
                features = encoding(domain.grid().flatten(0, -2)[:3])
            assert features.shape == (3, encoding.out_dim) and features.isfinite().all()

        read_or_refused(encode)

    fuzz(check, hostile("encoding"), 600)


def test_hostile_networks() -> None:
    def check(drawn: tuple[str, dict[str, Any]]) -> None:
        def answer() -> None:
            network = build(drawn[1], "network", in_dim=5, out_dim=3)
            with torch.no_grad():
                raw = network(torch.linspace(-1, 1, 10).reshape(2, 5))
            assert raw.shape == (2, 3) and network.output_activation(raw).isfinite().all()

        read_or_refused(answer)

    fuzz(check, hostile("network"), 300)


def test_hostile_signals() -> None:
    def check(drawn: tuple[str, dict[str, Any]]) -> None:
        def observe() -> None:
            signal = build(drawn[1], "signal")
            observed = signal.get_batch(torch.arange(min(3, signal.num_observations)))
            assert all(values.isfinite().all() for values in observed.values())

        read_or_refused(observe)

    fuzz(check, hostile("signal"), 500)


@pytest.mark.parametrize(
    ("option", "key"),
    [
        *(
            (f"encoding={name}", "num_frequencies")
            for name in ("positional", "gaussian", "log_linear", "geometric", "harmonic")
        ),
        *((f"encoding={name}", "num_frequencies") for name in ("sine", "triangle", "laplace", "learnable")),
        *(
            ("encoding=transformer", "num_features"),
            ("encoding=one_blob", "num_bins"),
            ("encoding=gaussian", "scale"),
        ),
        *(("encoding=grid", "num_features"), ("encoding=grid", "resolution"), ("encoding=gaussian", "seed")),
        *(
            ("encoding=learnable", "width"),
            ("encoding=learnable", "num_features"),
            ("encoding=identity", "offset"),
        ),
        *(
            ("encoding=harmonic", "decay"),
            ("encoding=transformer", "base"),
            ("encoding=log_linear", "octaves"),
        ),
        *(
            ("network=mlp", "width"),
            ("network=mlp", "depth"),
            ("network=siren", "width"),
            ("network=siren", "omega_first"),
        ),
    ],
)
def test_values_that_no_machine_can_hold_are_named_before_anything_is_allocated(
    option: str, key: str
) -> None:
    group, name = option.split("=")
    given = {"domain": Domain((16, 16))} if group == "encoding" else {"in_dim": 5, "out_dim": 3}
    with pytest.raises(UserError, match=rf"^{group}\.{key}={10**30} "):
        build({**nodes(group)[name], key: 10**30}, group, **given)


@pytest.mark.parametrize(
    ("group", "node", "said"),
    [
        ("network", {"_target_": "coordnet.networks.mlp.Mlp", "width": 20_000}, "800100000 weights"),
        (
            "encoding",
            {"_target_": "coordnet.encodings.grid.Grid", "resolution": 30_000},
            "values, above 268435456",
        ),
    ],
)
def test_too_many_weights_are_counted(group: str, node: Mapping[str, Any], said: str) -> None:
    given = {"domain": Domain((16, 16))} if group == "encoding" else {"in_dim": 5, "out_dim": 3}
    with pytest.raises(UserError, match=said):
        build(node, group, **given)


KEYS = st.sampled_from(
    [
        *(
            "seed",
            "max_steps",
            "eval_every",
            "threads",
            "name",
            "label",
            "baseline",
            "ntk",
            "callbacks.ntk.points",
            "callbacks.ntk.steps",
        ),
        *(
            "signal",
            "signal.name",
            "signal.resize",
            "signal.path",
            "encoding",
            "encoding.scale",
            "network.width",
        ),
        *(
            "trainer",
            "trainer.batch_size",
            "trainer.precision",
            "schedule",
            "experiment",
            "ablation",
            "nope",
            "a.b.c",
        ),
        *(
            "encoding._target_",
            "hydra.run.dir",
            "hydra.searchpath",
            "hydra/launcher",
            "hydra",
            "defaults",
            "seed.x",
        ),
        *(
            "encoding@encoding.parts.x.encoding",
            "signal@encoding",
            "optimizer.betas.0",
            "",
            "_self_",
            "encoding.1",
        ),
    ]
)
VALUES = st.sampled_from(
    [
        *(
            "",
            "-1",
            "0",
            "nan",
            "inf",
            "1e30",
            "1" + "0" * 30,
            "9" * 5000,
            "abc",
            "null",
            "true",
            "x" * 20000,
            "???",
        ),
        *(
            "'",
            '"',
            "[",
            "]",
            "{",
            "}",
            "[1,2]",
            "{a:1}",
            "[[[[1]]]]",
            "{a:{b:[1,{c:2}]}}",
            "{_target_: os.mkdir}",
        ),
        *(
            "${oc.env:HOME}",
            "${oc.env:NOPE}",
            "${max_steps}",
            "${seed}",
            "${nope}",
            "${",
            "${.seed}",
            "${encoding}",
        ),
        *(
            "${hydra:job.num}",
            "${oc.decode:'['}",
            "${oc.create:{a:1}}",
            "a b",
            "a\nb",
            "\0",
            "über",
            "\ud800",
            "😀",
        ),
        *(
            "a,b",
            "range(3)",
            "glob(*)",
            "choice(1,2)",
            "int(3)",
            "\\",
            "\\'",
            "$",
            "%",
            "~",
            "=",
            "a=b",
            "@",
            "../..",
        ),
        *("photo", "composite", "coarse_to_fine", "siren", "image", "['file:///nowhere']", "pkg://os"),
    ]
)
OVERRIDES = (
    st.builds("{}{}={}".format, st.sampled_from(["", "", "+", "++", "~"]), KEYS, VALUES)
    | st.builds("~{}".format, KEYS)
    | VALUES
    | st.text("abc.=+~@/[]{}(),:'\"\\ $\n\té0-", max_size=12)
)


def test_hostile_overrides() -> None:
    def check(overrides: list[str]) -> None:
        read_or_refused(lambda: check_config(compose_config(*overrides)))

    fuzz(check, st.lists(OVERRIDES, min_size=1, max_size=2), 120)
