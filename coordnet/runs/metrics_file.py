"""metrics.csv: the truth about a run, of which TensorBoard is a view."""

import csv
from collections.abc import Mapping
from pathlib import Path

from coordnet.runs.directory import write_text

Row = Mapping[str, float]


def append(path: Path, row: Row) -> None:
    """Add a row; the first one sets the columns."""
    columns = header(path) or list(row)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()
        writer.writerow({name: format(value, ".7g") for name, value in row.items()})


def header(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return next(csv.reader(file), [])


def read(path: Path) -> list[dict[str, float]]:
    """Complete rows; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text().rpartition("\n")
    rows = csv.DictReader(whole.splitlines())
    return [{name: float(value) for name, value in row.items()} for row in rows]


def cut_back(path: Path, step: int) -> None:
    """Drop all rows after `step`: a resumed run makes them again."""
    columns = header(path)
    kept = [row for row in read(path) if row["step"] <= step]
    lines = [",".join(columns), *(",".join(format(row[c], ".7g") for c in columns) for row in kept)]
    if columns:
        write_text(path, "\n".join(lines) + "\n")
