import numpy as np
import torch
from torch import Tensor

from coordnet import viz
from coordnet.coords import FieldFunction, in_chunks
from coordnet.diagnostics.sines import sine_scores
from coordnet.diagnostics.spectrum import format_frequency
from coordnet.evaluation.base import EvaluationResult, Evaluator, GridComparison, Predict
from coordnet.evaluation.media import Media, Picture
from coordnet.metrics.nmse import nmse
from coordnet.signals.lines.waveform import Waveform

_NAME = "target | prediction"


class WaveformEvaluator(Evaluator):
    """Scores samples on a line by their NMSE on the training, test and validation samples.

    With a training stride of s > 1 the training samples are [::s], the test samples are [s//2::s], and all other
    samples are for validation. The score is the negative NMSE of the validation samples if there are any, else of the
    training samples.

    The sines that the signal names have "sine_error/k005" and "sine_amplitude/k005" each, for 5 cycles across the
    domain, on the training samples.
    """

    signal_type = Waveform

    def evaluate(self, signal: Waveform, field: FieldFunction, predict: Predict) -> EvaluationResult:
        coords = signal.domain.grid()
        prediction = in_chunks(field, coords)
        splits = {
            name: (prediction[part], signal.values[part]) for name, part in _split_samples(signal).items()
        }
        metrics = {f"{name}/nmse": nmse(*pair) for name, pair in splits.items()}
        score = -metrics.get("val/nmse", metrics["train/nmse"])
        if signal.frequencies:
            metrics |= _sine_metrics(signal, prediction)
        for name, pair in splits.items():
            metrics |= self.extra_metrics(name, *pair)

        def make_media() -> dict[str, Media]:
            lines = {"target": signal.values[:, 0].numpy(), "prediction": prediction[:, 0].numpy()}
            return {_NAME: Picture(viz.plot_lines(coords[:, 0].numpy(), lines, _NAME))}

        grid = GridComparison(prediction.numpy(), signal.values.numpy(), max(signal.domain.resolution) / 2)
        return EvaluationResult(metrics, make_media, score, grid)


def _split_samples(signal: Waveform) -> dict[str, slice | Tensor]:
    """The samples of each split, as an index of (n, 1) values."""
    s = signal.train_stride
    splits: dict[str, slice | Tensor] = {"train": slice(None, None, s)}
    if s > 1:
        splits["test"] = slice(s // 2, None, s)
    if s > 2:
        place = torch.arange(len(signal.values)) % s
        splits["val"] = (place != 0) & (place != s // 2)
    return splits


def _sine_metrics(signal: Waveform, prediction: Tensor) -> dict[str, float]:
    """The error and the amplitude of each sine that the target has."""
    p, t, x = (
        v[:: signal.train_stride, 0].numpy() for v in (prediction, signal.values, signal.domain.grid())
    )
    errors, amplitudes = sine_scores(p, t, x, np.array(signal.frequencies))
    return {
        f"{name}/k{format_frequency(k, 3)}": float(value)
        for name, values in (("sine_error", errors), ("sine_amplitude", amplitudes))
        for k, value in zip(signal.frequencies, values, strict=True)
        if not np.isnan(value)
    }
