"""The commands and examples of the documents work."""

import ast
import re
import shlex
from pathlib import Path

import pytest
from support import SMALL, coordnet

from coordnet.config.check import check_config
from coordnet.config.compose import compose_config

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_library_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("README.md", "python")
    code = [line for line in example.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(code) <= 10, "the README promises ten lines"
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert float(re.findall(r"'test/psnr': ([\d.]+)", printed)[0]) > 18


EXAMPLES = {
    group: example
    for group, *example in zip(
        ("loss", "encoding"),
        blocks("CONTRIBUTING.md", "python"),
        blocks("CONTRIBUTING.md", "yaml"),
        strict=True,
    )
}


@pytest.mark.parametrize("group", EXAMPLES)
def test_the_examples_of_the_contributing_guide_train_from_outside_the_package(
    group: str, tmp_path: Path
) -> None:
    code, config = EXAMPLES[group]
    (target,) = re.findall(r"_target_: mypkg\.(\w+)\.", config)
    (tmp_path / "mypkg").mkdir()
    (tmp_path / "mypkg" / "__init__.py").write_text("")
    (tmp_path / "mypkg" / f"{target}.py").write_text(code)
    (tmp_path / "my_conf" / group).mkdir(parents=True)
    (tmp_path / "my_conf" / group / f"{target}.yaml").write_text(config)
    (command,) = re.findall(rf"^ {{4}}coordnet train (.*\b{group}=.*)$", CONTRIBUTING, re.MULTILINE)
    words = [*command.split(), "hydra.run.dir=run", *SMALL]
    distrusting = [word for word in words if word not in ("--allow", "mypkg.")]
    refused = coordnet("train", *distrusting, cwd=tmp_path)
    assert refused.returncode == 2 and "--allow mypkg." in refused.stderr and not (tmp_path / "run").exists()
    trained = coordnet("train", *words, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    resumed = coordnet("resume", "run", "--allow", "mypkg.", cwd=tmp_path)
    assert "is finished" in resumed.stderr


def test_the_ablation_of_the_page_on_ablations_runs_from_outside_the_package(tmp_path: Path) -> None:
    (config,) = blocks("docs/ablations.md", "yaml")
    (tmp_path / "my_conf" / "ablation").mkdir(parents=True)
    (tmp_path / "my_conf" / "ablation" / "octaves.yaml").write_text(config)
    words = ("train", "--config-dir", "my_conf", "ablation=octaves", "signal.name=coffee", *SMALL)
    result = coordnet(*words, "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = (tmp_path / "sweep" / "report.md").read_text()
    assert "six" in report and "five" in report


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "data/README.md",
        *(f"docs/{page.name}" for page in ROOT.glob("docs/*.md")),
    ],
)
def test_every_command_in_a_document_is_one_that_exists(document: str) -> None:
    from coordnet.cli.main import COMMANDS

    commands = re.findall(r"^(?: {4}|\$ )coordnet ([\w-]+)", (ROOT / document).read_text(), re.MULTILINE)
    assert set(commands) <= set(COMMANDS)


def train_commands() -> dict[str, None]:
    """Each documented `coordnet train` command without a package of its own, in one line."""
    commands: dict[str, None] = {}
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*.md")]:
        text = document.read_text()
        found = re.findall(r"^ {4}coordnet train (.*?)(?:\s+#.*)?$", text, re.MULTILINE)
        found += [" ".join(each.split()) for each in re.findall(r"`coordnet train ([^`]*)`", text)]
        commands |= {each: None for each in found if "my_conf" not in each and "--help" not in each}
    return commands


@pytest.mark.parametrize("command", train_commands())
def test_every_train_command_in_a_document_makes_a_config(command: str) -> None:
    words = [word for word in shlex.split(command) if word != "-m" and not word.startswith("hydra/")]
    # Each sweep over values is replaced by its first value, as Hydra does for the first job.
    first = [re.sub(r"=([^\[,]*),.*", r"=\1", word) for word in words]
    check_config(compose_config(*(word for word in first if not word.startswith("label="))))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def test_documents_link_to_files_that_exist() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_documents_name_files_that_exist() -> None:
    """A path is relative to the repository or to the package; x and mypkg stand for names of the reader."""
    for document in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *ROOT.glob("docs/*.md"),
    ]:
        for path in re.findall(r"`([\w/]+/[\w/]+\.(?:py|md|yaml))`", document.read_text()):
            places = (ROOT / path, ROOT / "coordnet" / path)
            placeholder = path.startswith(("my_conf/", "mypkg/")) or re.search(r"\bx\.|_x\.", path)
            assert placeholder or any(place.exists() for place in places), f"{document.name}: {path}"


def test_the_tour_is_short_and_names_files_and_functions_that_exist() -> None:
    tour = (ROOT / "docs" / "tour.md").read_text()
    assert len(tour.splitlines()) <= 80
    places = re.findall(r"`(coordnet/[\w/]+\.py)`\s+`([\w.]+)`", tour)
    assert len(places) > 30
    assert len(places) == len(re.findall(r"`coordnet/[\w/]+\.py`", tour)), "every file comes with a function"
    for file, name in places:
        names: list[str] = []
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.ClassDef):
                names += [
                    f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)
                ]
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.append(node.name)
        assert name in names, f"{file}: {name}"
