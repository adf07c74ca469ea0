"""metrics.csv: the scores of a run; loggers show copies."""

import csv
from collections.abc import Mapping
from pathlib import Path

from coordnet.errors import UserError
from coordnet.runs.directory import write_text

NAME = "metrics.csv"
Row = Mapping[str, float]

# Prefixes of columns that a signal has many of, one per frequency or view.
DETAILS = ("band_", "sine_", "ntk", "view_", "loss/")


def is_detail(name: str) -> bool:
    """True if a column is one of many of its kind, rather than a score of the run."""
    return name.startswith(DETAILS)


def is_main(name: str) -> bool:
    """Return True for a metric of a whole split: "train/", "val/" or "test/"."""
    return name.partition("/")[0] in ("train", "val", "test")


def append(path: Path, row: Row) -> None:
    """Add a row; the first one sets the columns."""
    known = header(path)
    with path.open("a" if known else "w", newline="") as file:
        writer = csv.DictWriter(file, known or list(row), lineterminator="\n")
        if not known:
            writer.writeheader()
        writer.writerow({name: format(value, ".7g") for name, value in row.items()})


def header(path: Path) -> list[str]:
    """Column names; none if the file is missing, or was cut short before its first line was whole."""
    if not path.exists():
        return []
    with path.open(newline="", errors="replace") as file:
        first = file.readline()
    return next(csv.reader([first]), []) if first.endswith("\n") else []


def read(path: Path) -> list[dict[str, float]]:
    """Complete rows, each with a "step"; a last line that a kill cut short is left out."""
    rows, damage = read_valid_rows(path)
    if rows and "step" not in rows[0]:
        damage = "it has no column step"
    if damage:
        raise UserError(f"{path} is damaged: {damage}")
    return rows


def read_valid_rows(path: Path) -> tuple[list[dict[str, float]], str]:
    """Complete rows up to the first damaged line, and what is wrong with that line; "" if none is."""
    rows: list[dict[str, float]] = []
    if not path.exists():
        return rows, ""
    whole, _, _ = path.read_text(errors="replace").rpartition("\n")
    try:
        for row in csv.DictReader(whole.split("\n")):
            rows.append({name: float(value) for name, value in row.items()})
    except (ValueError, TypeError, csv.Error) as error:
        return rows, f"line {len(rows) + 2}: {error}"[:200]
    return rows, ""


def truncate_after(path: Path, step: int) -> None:
    """Drop all rows after `step`: a resumed run makes them again."""
    kept = [row for row in read(path) if row["step"] <= step]
    columns = header(path)
    lines = [",".join(columns), *(",".join(format(row[c], ".7g") for c in columns) for row in kept)]
    if columns:
        write_text(path, "\n".join(lines) + "\n")
