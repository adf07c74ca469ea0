"""The report of a sweep: results.csv for programs; report.md, report.html and figures for people."""

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio.v3 as imageio

from coordnet.reports.figures import MAX_PICTURES, contact_sheet, draw_curves, draw_heat_maps
from coordnet.reports.frequencies import (
    KINDS,
    Kind,
    first_beyond,
    learned_rule,
    learned_table,
    training_nyquist,
)
from coordnet.reports.page import ReportFigure, Section, to_html, to_markdown
from coordnet.reports.results import Result, Sweep, load_sweep
from coordnet.reports.statistics import CONFIDENCE
from coordnet.reports.tables import (
    count_statuses,
    difference_table,
    fault,
    fault_table,
    heading,
    job_table,
    markdown,
    provenance_table,
    score_columns,
    variant_table,
)
from coordnet.reports.variants import Variant, main_score, make_variants, matching_rule, reference_variant
from coordnet.runs.directory import write_bytes, write_text

PAGE = "report.html"
SHEET = "contact_sheet.png"
SVG = "image/svg+xml"


def write_report(directory: Path) -> list[str]:
    """Write results.csv, report.md, report.html and their figures into a sweep's directory.

    Returns:
        The status of each job.
    """
    sweep = load_sweep(directory)
    found = list(_sections(directory, sweep))
    for section in found:
        if section.figure:
            write_bytes(directory / section.figure.name, section.figure.data)
    write_text(directory / "results.csv", _to_csv(sweep.results))
    write_text(directory / "report.md", to_markdown(sweep.name, sweep.command, found))
    write_text(directory / PAGE, to_html(sweep.name, sweep.command, found))
    return [result.status for result in sweep.results]


def _to_csv(results: Sequence[Result]) -> str:
    """Format one line per job: status, swept values, and the metrics of the last evaluation."""
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


def _sections(directory: Path, sweep: Sweep) -> Iterator[Section]:
    variants = make_variants(sweep)
    if sweep.unfinished:
        yield Section("Not finished", _unfinished(sweep), table=fault_table(sweep), links=True, warning=True)
    yield Section(
        "Variants",
        f"{matching_rule(sweep, variants)} {_replicates(sweep, variants)}",
        table=variant_table(sweep, variants),
    )
    if len(variants) > 1:
        words = _difference_rule(sweep, variants)
        yield Section(
            "Paired differences", words, table=difference_table(sweep, variants, score_columns(variants))
        )
    yield from _figures(variants)
    sheet = _contact_sheet(directory, sweep, variants)
    if sheet:
        yield Section("Pictures", sheet.alt, sheet)
    yield Section("All jobs", "Metrics of the last evaluation.", table=job_table(sweep, variants), links=True)
    provenance = provenance_table(sweep)
    if provenance:
        yield Section("How it was run", table=provenance)


def _figures(variants: Sequence[Variant]) -> Iterator[Section]:
    score = main_score(variants)
    lines = None if score is None else draw_curves(variants, score)
    if score is not None and lines:
        words = (
            f"{heading(score)}: the mean of each variant's finished jobs, within one standard deviation. Dashed lines "
            "are variants that are not trained."
        )
        alt = f"{heading(score)} over steps and over seconds"
        yield Section("Curves", words, ReportFigure("curves.svg", alt, lines, lines, SVG))
    for kind in KINDS:
        maps = draw_heat_maps(variants, kind)
        if maps:
            alt = f"error of each {kind.part} over steps, by variant"
            name = f"{kind.part}s.svg"
            words = f"{_map_rule(variants, kind)} {learned_rule(kind)}"
            yield Section(
                f"{kind.part.capitalize()}s",
                words,
                ReportFigure(name, alt, maps, maps, SVG),
                learned_table(variants, kind),
            )


def _contact_sheet(directory: Path, sweep: Sweep, variants: Sequence[Variant]) -> ReportFigure | None:
    pixels = contact_sheet(directory, sweep, variants)
    if pixels is None:
        return None
    which = "each job" if len(sweep.results) <= MAX_PICTURES else "the first job of each variant"
    png = imageio.imwrite("<bytes>", pixels, extension=".png")
    jpeg = imageio.imwrite("<bytes>", pixels, extension=".jpg", quality=90, subsampling=0)
    return ReportFigure(SHEET, f"The last picture of {which}.", png, jpeg, "image/jpeg")


def _unfinished(sweep: Sweep) -> str:
    left_out = len(sweep.unfinished)
    return (
        f"{left_out} of {len(sweep.results)} jobs {'has' if left_out == 1 else 'have'} not finished "
        f"({count_statuses(sweep.unfinished)}). All means, differences, curves and maps leave them out."
    )


def _replicates(sweep: Sweep, variants: Sequence[Variant]) -> str:
    """Count the seeds and the signals of one variant."""
    signals, seeds = (
        sorted({len({result.pair[i] for result in variant.results}) for variant in variants})
        for i in range(2)
    )
    words = (
        f"{_count(seeds, 'seed')} and {_count(signals, 'signal')} per variant; n is the number of finished jobs "
        "of the variant."
    )
    return words if signals == seeds == [1] else f"Means ± sample standard deviations over {words}"


def _count(numbers: Sequence[int], noun: str) -> str:
    """Format rising numbers as "1 seed", "3 seeds" or "1 to 3 seeds"."""
    words = " to ".join(str(n) for n in dict.fromkeys((numbers[0], numbers[-1])))
    return f"{words} {noun}" + ("" if numbers[-1] == 1 else "s")


def _difference_rule(sweep: Sweep, variants: Sequence[Variant]) -> str:
    words = (
        f"Each variant minus {reference_variant(sweep, variants).name}, the reference, and minus the variant above: "
        "the mean over jobs of equal seed and signal (except for signal options that a variant itself sets), the "
        f"{CONFIDENCE:.0%} interval of the mean (Student's t, two-sided), and * if the interval excludes zero. A "
        "single pair has no interval, and neither have pairs that all differ by the same amount. The intervals are "
        "not widened for multiple comparisons."
    )
    pairs = [{result.pair for result in variant.finished} for variant in variants]
    signals = [{signal for signal, _ in found} for found in pairs]
    if max(map(len, signals)) == 1:
        return f"{words} The intervals hold for other seeds, not for other signals."
    if any(len(a) > len(b) for a, b in zip(pairs, signals, strict=True)):
        return f"{words} Several seeds on one signal count as several pairs, although they share the signal."
    return words


def _map_rule(variants: Sequence[Variant], kind: Kind) -> str:
    marked = first_beyond(variants, kind) is not None
    line = (
        f"; the dashed line is at the training Nyquist frequency, {training_nyquist(variants):g}"
        if marked
        else ""
    )
    return (
        f"log10 of the error energy of each {kind.part} over the target's energy in the {kind.part}, by step: "
        "black is a thousandth or less, and 0 means as much error as target. "
        f"Frequencies are in cycles across the domain{line}."
    )


def summary_lines(directory: Path) -> list[str]:
    """Return the lines for the terminal: variants, differences of the main score, and unfinished jobs."""
    sweep = load_sweep(directory)
    variants = make_variants(sweep)
    score = main_score(variants)
    lines = markdown(variant_table(sweep, variants))
    differences = difference_table(sweep, variants, [score]) if score else []
    if differences:
        lines += ["", *markdown(differences)]
    lines += ["", matching_rule(sweep, variants)]
    if sweep.unfinished:
        lines += ["", _unfinished(sweep), *(f"  {r.run}: {r.status}: {fault(r)}" for r in sweep.unfinished)]
    return lines


def path_lines(directory: Path) -> list[str]:
    """Return the lines for the terminal that name the report and the command for TensorBoard."""
    return [
        f"report:       {directory / PAGE}",
        f"TensorBoard:  coordnet board {shlex.quote(str(directory))}",
    ]
