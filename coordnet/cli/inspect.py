"""`coordnet inspect`: an encoding, measured before anything is trained."""

import argparse
import json
import math
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coordnet.config.check import check_config
from coordnet.errors import UserError

Report = Mapping[str, Any]


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet inspect",
        description="Measure an encoding on the domain of a signal, before training: "
        "coordnet inspect encoding=positional signal=astronaut",
    )
    parser.add_argument(
        "overrides", nargs="*", help="overrides of encoding and signal, as for coordnet train"
    )
    parser.add_argument("--output", type=Path, help="new or empty directory; default outputs/inspect/<time>")
    parser.add_argument("--config-dir", "-cd", help="directory of configs of your own")
    parser.add_argument(
        "--allow", action="append", default=[], help="prefix of targets to trust, such as mypkg."
    )
    options = parser.parse_args(argv)
    output = options.output or Path(
        "outputs/inspect", f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"--output {output} is not a new or empty directory")
    from coordnet.config.compose import compose_config

    config = compose_config(*options.overrides, own_configs=options.config_dir, allow=options.allow)
    check_config(config, options.allow)
    report, picture = inspect(config, options.allow)
    print("\n".join(spoken(report)))
    write(output, report, picture)


def inspect(config: Mapping[str, Any], allow: list[str]) -> tuple[dict[str, Any], Any]:
    """The report on a config's encoding on the domain of its signal, and its picture."""
    import lightning as L

    from coordnet.config.build import build
    from coordnet.diagnostics.encoding_figure import draw_encoding
    from coordnet.diagnostics.encoding_report import measure_encoding
    from coordnet.diagnostics.proposal import propose
    from coordnet.diagnostics.spectrum import octaves, power_spectrum

    L.seed_everything(config["seed"], verbose=False)
    signal = build(config["signal"], "signal", allow)
    encoding = build(config["encoding"], "encoding", allow, domain=signal.domain)
    domain = signal.domain
    report = {
        "signal_size": list(domain.size),
        "train_stride": domain.train_stride,
        **measure_encoding(encoding, domain),
    }
    grid = signal.training_grid()
    if grid is not None:
        frequency, power = power_spectrum(grid.numpy(), max(domain.nyquist))
        edges, sums = octaves(frequency, power)
        report["signal"] = {"octaves": edges.tolist(), "power": sums.tolist()}
        report["proposal"] = propose(grid.numpy(), max(domain.nyquist))
    title = f"{name(config['encoding'])} on {name(config['signal'])}: {report['formula']}"
    return report, draw_encoding(title, encoding, domain, report)


def name(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rsplit(".", 1)[-1]


def number(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g}"


def span(values: list[float]) -> str:
    low, high = min(values), max(values)
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def spoken(report: Report) -> Iterator[str]:
    """The report as lines for a person."""
    size = " x ".join(map(str, report["signal_size"]))
    every = (
        "" if report["train_stride"] == 1 else f", one in {report['train_stride']} along each axis trained on"
    )
    lines = {
        "domain": f"{size} samples{every}",
        "formula": report["formula"],
        "features": f"{report['features']}, {report['bytes_per_sample']:,} bytes per sample; "
        f"{report['parameters']:,} parameters",
        "frequencies": frequency_line(report["frequencies"]),
        "range": f"{number(min(report['range']['min']))} to {number(max(report['range']['max']))}; "
        f"standard deviations {span(report['range']['std'])}",
        "step": f"one training sample changes a feature by {span(report['step_response'])}, root mean square",
        "kernel": kernel_line(report["kernel"]),
        "slope": slope_line(report["lipschitz"]),
        "nearest": nearest_line(report["nearest"]),
        "Gram matrix": gram_line(report["gram"], report["features"]),
    }
    for shift in report["shift"]:
        known = (("best linear map", "linear"), ("best affine map", "affine"), ("exact rotation", "rotation"))
        residuals = [f"{spoken} {shift[key]:.1e}" for spoken, key in known if shift[key] is not None]
        lines[f"shift by {shift['by']}"] = (
            "residual of the " + ", ".join(residuals) if residuals else "too wide to fit a matrix"
        )
    if "signal" in report:
        total = sum(report["signal"]["power"])
        shares = (100 * power / max(total, sys.float_info.min) for power in report["signal"]["power"])
        edges = report["signal"]["octaves"]
        lines["signal"] = "power by octave: " + ", ".join(
            f"{edge:g}: {share:.3g} %" for edge, share in zip(edges, shares, strict=True)
        )
        lines["proposal"] = report["proposal"]["reason"]
    width = max(map(len, lines))
    for key, text in lines.items():
        yield f"{key:{width}}  {text}"


def frequency_line(found: Report | None) -> str:
    if found is None:
        return "none: no feature is a wave"
    line = (
        f"{found['count']}, {number(found['lowest'])} to {number(found['highest'])} cycles across the domain "
        f"(up to {number(found['highest_in_cycles_per_training_sample'])} per training sample)"
    )
    share = found["share_at_or_above_nyquist"]
    if share == 0:
        return f"{line}; all below the training Nyquist {number(found['training_nyquist'])}"
    return (
        f"{line}\nwarning: {100 * share:.0f} % are at or above the training Nyquist "
        f"{number(found['training_nyquist'])}: the training samples cannot tell them from lower ones, "
        "and between samples they are wrong"
    )


def kernel_line(kernel: Report) -> str:
    if kernel["width"] is None:
        line = "does not fall to one half along x within half of the domain"
    else:
        line = f"falls to one half within {number(kernel['width'])} training samples along x"
        if (kernel["highest_beyond_four_widths"] or 0) > 0.2:
            line += f", but rises to {number(kernel['highest_beyond_four_widths'])} again further out"
    if kernel["anisotropy"] is not None:
        line += f"; widths differ by a factor of {number(kernel['anisotropy'])} between directions"
    if kernel["spread"] > 1e-9:
        line += f"; depends on the position (spread {number(kernel['spread'])})"
    return line


def slope_line(lipschitz: Report) -> str:
    if math.isinf(lipschitz["constant"]):
        return "infinite: features jump"
    how = "closed form" if lipschitz["closed_form"] else "the largest found"
    return (
        f"{'at most' if lipschitz['closed_form'] else 'at least'} {number(lipschitz['constant'])} per unit of x, "
        f"{number(lipschitz['per_training_sample'])} per training sample ({how})"
    )


def nearest_line(nearest: Report) -> str:
    line = f"two samples are at least {number(nearest['distance'])} apart"
    for precision in ("float32", "bfloat16"):
        alike = nearest[f"alike_in_{precision}"]
        line += f"; in {precision} " + (
            f"{alike} of {nearest['samples']} look like another" if alike else "all differ"
        )
    return line


def gram_line(gram: Report, features: int) -> str:
    condition = "infinite" if math.isinf(gram["condition"]) else number(gram["condition"])
    return (
        f"rank {gram['rank']} of {features}, condition {condition}, effective rank {number(gram['effective_rank'])}; "
        f"a linear layer learns with steps up to {number(gram['largest_stable_step'])}"
    )


def write(output: Path, report: Report, picture: Any) -> None:
    import imageio.v3 as imageio

    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(finite(report), indent=2)
    (output / "report.json").write_text(text + "\n")
    imageio.imwrite(output / "report.png", picture)
    print(f"\n{output / 'report.png'}\n{output / 'report.json'}")


def finite(value: Any) -> Any:
    """JSON knows no infinity: it becomes the text "infinite"."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [finite(entry) for entry in value]
    return "infinite" if isinstance(value, float) and math.isinf(value) else value
