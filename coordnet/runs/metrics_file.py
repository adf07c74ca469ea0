"""metrics.csv: the truth about a run, of which TensorBoard is a view."""

import csv
from collections.abc import Mapping
from pathlib import Path

from coordnet.errors import UserError
from coordnet.runs.directory import write_text

NAME = "metrics.csv"
Row = Mapping[str, float]


def append(path: Path, row: Row) -> None:
    """Add a row; the first one sets the columns."""
    known = header(path)
    with path.open("a" if known else "w", newline="") as file:
        writer = csv.DictWriter(file, known or list(row))
        if not known:
            writer.writeheader()
        writer.writerow({name: format(value, ".7g") for name, value in row.items()})


def header(path: Path) -> list[str]:
    """Column names; none if the file is missing, or was cut short before its first line was whole."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        first = file.readline()
    return next(csv.reader([first]), []) if first.endswith("\n") else []


def read(path: Path) -> list[dict[str, float]]:
    """Complete rows; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text().rpartition("\n")
    try:
        rows = csv.DictReader(whole.splitlines())
        return [{name: float(value) for name, value in row.items()} for row in rows]
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from None


def cut_back(path: Path, step: int) -> None:
    """Drop all rows after `step`: a resumed run makes them again."""
    columns = header(path)
    kept = [row for row in read(path) if row["step"] <= step]
    lines = [",".join(columns), *(",".join(format(row[c], ".7g") for c in columns) for row in kept)]
    if columns:
        write_text(path, "\n".join(lines) + "\n")
