import os

# Before torch is imported: idle OpenMP threads that spin slow every other process of a test run.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from promises import NOT_TESTED, PROMISES

torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures, views and meshes that live beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the shared data are not at {SHARED_DATA}")
    return SHARED_DATA


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reliability", type=Path, help="write the table of promises and their tests to this file"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("reliability"):
            item.user_properties += [("promise", promise) for promise in mark.args]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    path = config.getoption("--reliability")
    if path is None:
        return
    outcomes: dict[str, list[str]] = defaultdict(list)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and (report.when == "call" or not report.passed):
                for name, promise in report.user_properties:
                    if name == "promise":
                        outcomes[promise].append(report.outcome)
    path.write_text(table(outcomes))


def table(outcomes: dict[str, list[str]]) -> str:
    lines = [
        "# What a run can be trusted with",
        "",
        "Written by `make reliability`, which runs the tests of each promise (the long ones included) and the scripts",
        "that kill runs and sweeps at random moments and fill disks. `make test` runs all but the long ones.",
        "",
        "| | promise | tests | |",
        "|---|---|---|---|",
    ]
    for promise, text in PROMISES.items():
        found = outcomes.get(promise, [])
        bad = [outcome for outcome in found if outcome != "passed"]
        state = ", ".join(sorted(set(bad))) or ("pass" if found else NOT_TESTED.get(promise, "no test"))
        lines.append(f"| {promise} | {text} | {len(found)} | {state} |")
    return "\n".join(lines) + "\n"
