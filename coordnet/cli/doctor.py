"""`coordnet doctor [DIRECTORY]`: whether this machine is fit to train, asked before it has to."""

import argparse
import math
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from coordnet import __version__

GIB = 2**30
# Extras that users may want; the extra for developers is left out.
EXTRAS = ("sweep", "video")


class Finding(NamedTuple):
    """One line of the list.

    Attributes:
        verdict: A "problem" keeps coordnet from working; a "note" is worth knowing.
        subject: Name of the checked part.
        text: Result of the check.
    """

    verdict: Literal["ok", "note", "problem"]
    subject: str
    text: str


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet doctor",
        description="Check versions, processor, memory, disk and configs; exit code 1 if there is a problem.",
    )
    parser.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=Path("outputs"),
        help="directory of runs; the command tries to write there",
    )
    found = list(findings(parser.parse_args(argv).directory))
    width = max(len(finding.subject) for finding in found)
    for verdict, subject, text in found:
        print(f"{verdict:8} {subject:{width}}  {text}")
    if any(finding.verdict == "problem" for finding in found):
        sys.exit(1)


def findings(directory: Path) -> Iterator[Finding]:
    yield from versions()
    yield from processor()
    yield allocator()
    yield compiler()
    yield memory()
    yield from disk(directory)
    yield shipped_configs()


def versions() -> Iterator[Finding]:
    """coordnet, Python, and each package that coordnet, or one of its EXTRAS, asks for."""
    yield Finding("ok", "coordnet", __version__)
    try:
        pythons = SpecifierSet(metadata("coordnet")["Requires-Python"])
        asked = [Requirement(text) for text in requires("coordnet") or []]
    except PackageNotFoundError:
        yield Finding("note", "packages", "coordnet is not installed, so the versions it needs are not known")
        return
    yield judged("python", platform.python_version(), pythons)
    always = [package for package in asked if applies(package)]
    for package in always:
        yield judged(package.name, installed(package.name), package.specifier)
    for extra in EXTRAS:
        for package in asked:
            if package not in always and applies(package, extra):
                found = judged(package.name, installed(package.name), package.specifier)
                if found.verdict == "problem":
                    found = Finding("note", package.name, f"{found.text}: pip install 'coordnet[{extra}]'")
                yield found


def applies(package: Requirement, extra: str = "") -> bool:
    return package.marker is None or package.marker.evaluate({"extra": extra})


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def judged(name: str, found: str | None, needed: SpecifierSet) -> Finding:
    if found is None:
        return Finding("problem", name, f"not installed; {needed} is needed")
    if not needed.contains(found, prereleases=True):
        return Finding("problem", name, f"{found}, but {needed} is needed")
    return Finding("ok", name, found)


def processor() -> Iterator[Finding]:
    try:
        from coordnet.training.runtime import has_bfloat16, set_threads

        threads = set_threads(None)
        native = has_bfloat16("auto")
    except (ImportError, OSError) as error:
        yield Finding("problem", "threads", f"torch cannot be imported: {one_line(error)}")
        return
    yield Finding("ok", "threads", f"{threads} of {os.cpu_count()} cores, with threads=null")
    if native:
        yield Finding(
            "ok", "bfloat16", "native, so trainer.precision=auto starts with it where the network allows"
        )
    else:
        yield Finding("note", "bfloat16", "not native, so trainer.precision=auto means float32")


def allocator() -> Finding:
    name, number = platform.libc_ver()
    if name == "glibc":
        return Finding("ok", "allocator", f"glibc {number}, which is told to keep freed memory")
    return Finding(
        "note", "allocator", "not glibc, so steps may spend time on returning memory to the system"
    )


def compiler() -> Finding:
    found = shutil.which(os.environ.get("CXX") or "g++") or shutil.which("c++")
    if found is None:
        return Finding("note", "compiler", "no C++ compiler found, which only torch.compile needs")
    return Finding("ok", "compiler", found)


def memory() -> Finding:
    from coordnet.training.memory import available

    free = available()
    if math.isinf(free):
        return Finding("note", "memory", "what is available cannot be read on this system")
    return Finding(enough(free), "memory", f"{free / GIB:.1f} GiB available")


def disk(directory: Path) -> Iterator[Finding]:
    """Free space and a trial of all that a run does in its directory, in the nearest folder that exists."""
    try:
        place = next(place for place in (directory, *directory.parents) if place.exists())
        free = shutil.disk_usage(place).free
        yield Finding(enough(free), "disk", f"{free / GIB:.1f} GiB free in {place.absolute()}")
        try_writing(place)
    except OSError as error:
        yield Finding("problem", "writing", f"a run could not be written in {directory}: {one_line(error)}")
    else:
        yield Finding(
            "ok", "writing", f"a file can be locked, written, replaced and deleted in {place.absolute()}"
        )


def try_writing(folder: Path) -> None:
    from coordnet.runs.directory import lock_run_dir, write_text

    with (
        tempfile.TemporaryDirectory(prefix=".coordnet-doctor-", dir=folder) as trial,
        lock_run_dir(Path(trial)),
    ):
        for text in ("old", "new"):
            write_text(Path(trial, "file"), text)


def enough(size: float) -> Literal["ok", "note"]:
    return "ok" if size >= GIB else "note"


def shipped_configs() -> Finding:
    from coordnet.config.shipped import config_dir, targets

    count = len(list(config_dir().rglob("*.yaml")))
    if not count:
        return Finding("problem", "configs", f"none in {config_dir()}; install coordnet again")
    for target in sorted(targets()):
        module, _, name = target.rpartition(".")
        try:
            getattr(import_module(module), name)
        except (ImportError, AttributeError, OSError) as error:
            return Finding("problem", "configs", f"{target} cannot be imported: {one_line(error)}")
    return Finding(
        "ok", "configs", f"{count} in {config_dir()}, all {len(targets())} targets can be imported"
    )


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())
