"""Imports go down only, as the design has it."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import coordnet

PACKAGE = Path(coordnet.__file__).parent

# Lowest first. A module or folder may import from its own level and from those below.
LEVELS = (
    ("errors",),
    ("console", "files", "options"),
    ("cameras", "coords", "rng", "viz", "config"),
    ("encodings", "networks", "losses", "metrics", "rendering"),
    ("diagnostics", "fields"),
    ("forward_maps",),
    ("signals",),
    ("evaluation",),
    ("runs", "training"),
    ("export",),
    ("sweeps", "reports"),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

FILES = {
    ".".join(("coordnet", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
    if "conf" not in file.relative_to(PACKAGE).parts[:-1]
}

ADAPTER = "coordnet.config.hydra_adapter"


def room(module: str) -> str:
    return module.split(".")[1]


def imports(module: str, everywhere: bool = True) -> Iterator[str]:
    """Dotted names that a module imports, at its top or anywhere in it."""
    tree = ast.parse(FILES[module].read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(module: str, everywhere: bool = True) -> set[str]:
    """Modules of this package that a module imports."""
    named = {name for name in imports(module, everywhere) if name.startswith("coordnet.")}
    return {name if name in FILES else name.rpartition(".")[0] for name in named} - {"coordnet"}


# Imports inside functions, outside the command line: (module, imported module), each with its reason.
FIGURES = "a run without pictures does not load matplotlib"
TORCH = "a mistake in the overrides of a sweep shows before torch is loaded"
SIGNALS = "a new process handles signals and its parent's end before it loads torch"
LATE = {
    ("coordnet.evaluation.image", "coordnet.diagnostics.spectrum_figure"): FIGURES,
    ("coordnet.training.callbacks.evaluation", "coordnet.diagnostics.spectrum_figure"): FIGURES,
    (
        "coordnet.sweeps.sweeper",
        "coordnet.reports.finish",
    ): "a sweep loads the report when all jobs have ended",
    ("coordnet.sweeps.sweeper", "coordnet.sweeps.matching"): TORCH,
    ("coordnet.sweeps.sweeper", "coordnet.training.build_field"): TORCH,
    ("coordnet.sweeps.sweeper", "coordnet.training.memory"): TORCH,
    ("coordnet.sweeps.sweeper", "coordnet.training.prepare"): TORCH,
    ("coordnet.sweeps.worker", "coordnet.training.run"): SIGNALS,
    ("coordnet.training.ddp", "coordnet.training.prepare"): SIGNALS,
    ("coordnet.training.ddp", "coordnet.training.trainer"): SIGNALS,
}

# Modules in which plain configs begin.
HYDRA = ("coordnet.config.compose", ADAPTER)

modules = pytest.mark.parametrize("module", [module for module in FILES if module != "coordnet"])


@modules
def test_every_module_has_a_level(module: str) -> None:
    assert room(module) in LEVEL


@modules
def test_imports_go_down(module: str) -> None:
    upward = {name for name in own(module) if LEVEL[room(name)] > LEVEL[room(module)]}
    assert not upward


def test_no_module_imports_itself_by_way_of_others() -> None:
    """No cycle exists, imports inside functions included."""
    order = TopologicalSorter({module: own(module) - {module} for module in FILES}).static_order()
    assert set(order) >= set(FILES)


def test_imports_inside_functions_are_counted() -> None:
    found = {
        (module, name)
        for module in FILES
        if module != "coordnet" and room(module) != "cli"
        for name in own(module) - own(module, everywhere=False)
    }
    assert found == LATE.keys()


@modules
def test_hydra_stays_at_the_edge(module: str) -> None:
    at_the_edge = room(module) in ("cli", "sweeps") or module in HYDRA
    if not at_the_edge:
        assert not {name.split(".")[0] for name in imports(module)} & {"hydra", "omegaconf"}


@modules
def test_one_file_uses_private_names_of_hydra(module: str) -> None:
    used = {name for name in imports(module) if name.startswith("hydra.") and "._" in name}
    assert bool(used) == (module == ADAPTER), used


@modules
def test_lightning_stays_above_the_data(module: str) -> None:
    if LEVEL[room(module)] <= LEVEL["signals"]:
        assert not {name.split(".")[0] for name in imports(module)} & {"lightning", "pytorch_lightning"}


def test_these_tests_see_what_they_look_for() -> None:
    assert "coordnet.coords" in own("coordnet.encodings.fourier")
    assert "coordnet.viz" in own("coordnet.evaluation.image")
    assert "hydra" in {name.split(".")[0] for name in imports("coordnet.cli.train")}
    assert "lightning" in {name.split(".")[0] for name in imports("coordnet.training.module")}
