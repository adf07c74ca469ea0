"""The report of a sweep: results.csv for programs; report.md, report.html and pictures for people."""

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio.v3 as imageio

from coordnet.reports.figures import MOST_PICTURES, contact_sheet, curves, heat_maps
from coordnet.reports.frequencies import (
    KINDS,
    Kind,
    first_beyond,
    learned_rule,
    learned_table,
    training_nyquist,
)
from coordnet.reports.page import Picture, Section, to_html, to_markdown
from coordnet.reports.results import Result, Sweep, load
from coordnet.reports.statistics import CONFIDENCE
from coordnet.reports.tables import (
    difference_table,
    fault,
    fault_table,
    heading,
    job_table,
    markdown,
    provenance_table,
    row_table,
    shown,
    statuses,
)
from coordnet.reports.variants import Row, fairness, main_score, make_rows, reference_row
from coordnet.runs.directory import write_bytes, write_text

PAGE = "report.html"
SHEET = "contact_sheet.png"
SVG = "image/svg+xml"


def write_report(directory: Path) -> list[str]:
    """Write results.csv, report.md, report.html and their pictures into a sweep's directory.

    Returns each job's status.
    """
    sweep = load(directory)
    found = list(sections(directory, sweep))
    for section in found:
        if section.picture:
            write_bytes(directory / section.picture.name, section.picture.data)
    write_text(directory / "results.csv", to_csv(sweep.results))
    write_text(directory / "report.md", to_markdown(sweep.name, sweep.command, found))
    write_text(directory / PAGE, to_html(sweep.name, sweep.command, found))
    return [result.status for result in sweep.results]


def to_csv(results: Sequence[Result]) -> str:
    """One line per job: what became of it, what was swept, and the metrics of its last evaluation."""
    lines = [
        {"job": r.job, "status": r.status, **r.overrides, "run": r.run, "parameters": r.parameters}
        | {"reason": fault(r)}
        | dict(r.metrics)
        for r in results
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(name for line in lines for name in line), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def sections(directory: Path, sweep: Sweep) -> Iterator[Section]:
    rows = make_rows(sweep)
    if sweep.unfinished:
        yield Section("Not finished", unfinished(sweep), table=fault_table(sweep), links=True, warning=True)
    yield Section("Rows", f"{fairness(sweep, rows)} {replicates(sweep)}", table=row_table(sweep, rows))
    if len(rows) > 1:
        words = difference_rule(sweep, rows)
        yield Section("Paired differences", words, table=difference_table(sweep, rows, shown(rows)))
    yield from drawn(rows)
    picture = sheet(directory, sweep, rows)
    if picture:
        yield Section("Pictures", picture.alt, picture)
    yield Section("All jobs", "Metrics of the last evaluation.", table=job_table(sweep, rows), links=True)
    provenance = provenance_table(sweep)
    if provenance:
        yield Section("How it was run", table=provenance)


def drawn(rows: Sequence[Row]) -> Iterator[Section]:
    score = main_score(rows)
    lines = None if score is None else curves(rows, score)
    if score is not None and lines:
        words = (
            f"{heading(score)}: the mean of each row's finished jobs, within one standard deviation. Dashed: rows that "
            "are not trained."
        )
        alt = f"{heading(score)} over steps and over seconds"
        yield Section("Curves", words, Picture("curves.svg", alt, lines, lines, SVG))
    for kind in KINDS:
        maps = heat_maps(rows, kind)
        if maps:
            alt = f"error of each {kind.part} over steps, by row"
            name = f"{kind.part}s.svg"
            words = f"{map_rule(rows, kind)} {learned_rule(kind)}"
            yield Section(
                f"{kind.part.capitalize()}s",
                words,
                Picture(name, alt, maps, maps, SVG),
                learned_table(rows, kind),
            )


def sheet(directory: Path, sweep: Sweep, rows: Sequence[Row]) -> Picture | None:
    pixels = contact_sheet(directory, sweep, rows)
    if pixels is None:
        return None
    which = "each job" if len(sweep.results) <= MOST_PICTURES else "the first job of each row"
    png = imageio.imwrite("<bytes>", pixels, extension=".png")
    jpeg = imageio.imwrite("<bytes>", pixels, extension=".jpg", quality=90, subsampling=0)
    return Picture(SHEET, f"What {which} drew last.", png, jpeg, "image/jpeg")


def unfinished(sweep: Sweep) -> str:
    left_out = len(sweep.unfinished)
    return (
        f"{left_out} of {len(sweep.results)} jobs {'is' if left_out == 1 else 'are'} not finished "
        f"({statuses(sweep.unfinished)}), and left out of all means, differences, curves and maps."
    )


def replicates(sweep: Sweep) -> str:
    signals, seeds = (len({result.pair[i] for result in sweep.results}) for i in range(2))
    words = (
        f"{count(seeds, 'seed')} and {count(signals, 'signal')}; n is how many jobs of the row have finished."
    )
    return words if signals * seeds == 1 else f"Means ± sample standard deviations over {words}"


def count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def difference_rule(sweep: Sweep, rows: Sequence[Row]) -> str:
    words = (
        f"Against {reference_row(sweep, rows).name}, the reference, and against the row above: the mean over jobs of "
        "equal seed and signal (save for what of it a row sets itself), its "
        f"{CONFIDENCE:.0%} interval (Student's t, two-sided), and * where that excludes zero. There is no interval "
        "for a single pair, nor where all pairs differ by the same. The intervals are not widened for there being "
        "many of them."
    )
    pairs = {result.pair for result in sweep.finished}
    signals = {signal for signal, _ in pairs}
    if len(signals) == 1:
        return f"{words} They speak of other seeds on this signal, not of other signals."
    if len(pairs) > len(signals):
        return f"{words} Several seeds of a signal count as so many pairs, though they share it."
    return words


def map_rule(rows: Sequence[Row], kind: Kind) -> str:
    marked = first_beyond(rows, kind) is not None
    line = (
        f"; the dashed line is at the training Nyquist frequency, {training_nyquist(rows):g}"
        if marked
        else ""
    )
    return (
        f"log10 of the error energy of each {kind.part} over the target's energy in it, by step: black is a thousandth "
        "or less, 0 as much error as target. "
        f"Frequencies are in cycles across the domain{line}."
    )


def summary(directory: Path) -> list[str]:
    """What a terminal shows: the rows, the differences of the main score, what is not finished, where to look."""
    sweep = load(directory)
    rows = make_rows(sweep)
    score = main_score(rows)
    lines = markdown(row_table(sweep, rows))
    differences = difference_table(sweep, rows, [score]) if score else []
    if differences:
        lines += ["", *markdown(differences)]
    lines += ["", fairness(sweep, rows)]
    if sweep.unfinished:
        lines += ["", unfinished(sweep), *(f"  {r.run}: {r.status}: {fault(r)}" for r in sweep.unfinished)]
    return lines


def where_to_look(directory: Path) -> list[str]:
    return [
        f"report:       {directory / PAGE}",
        f"TensorBoard:  coordnet board {shlex.quote(str(directory))}",
    ]
