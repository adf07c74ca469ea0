from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import OptionError


class Composite(Encoding):
    """One encoding per group of columns; the features are concatenated, added or multiplied.

    A part is built from the domain of its columns, with the coordinates, the spacing and the Nyquist frequencies of the
    whole. A column may be in several parts, and must be in at least one part. Random parts with the same options and
    the same seed have the same frequencies.

    Args:
        domain: Box with d columns.
        combine: "concat" puts the features of the parts one after the other. "sum" and "product" combine parts of the
            same width feature by feature.
        parts: Mapping from names to parts. A part has `columns`, distinct numbers from 0 to d - 1 in the order of the
            part's own columns (null or absent: all columns), and `encoding`, a factory that builds the encoding of
            these columns from a domain.

    Raises:
        OptionError: A part has another form or refuses its options, a column is in no part, or widths differ.
    """

    encodings: Sequence[Encoding]

    def __init__(
        self, domain: Domain, combine: Literal["concat", "sum", "product"], parts: Mapping[str, Any]
    ) -> None:
        super().__init__()
        built = [_build_part(part, f"parts.{name}", domain) for name, part in parts.items()]
        self.columns = [columns for columns, _ in built]
        encodings = [encoding for _, encoding in built]
        missing = sorted(set(range(domain.dim)).difference(*self.columns))
        if missing:
            raise OptionError(
                "parts", list(parts), f"must hold all columns, 0 to {domain.dim - 1}; add {missing}"
            )
        widths = {name: encoding.out_dim for name, encoding in zip(parts, encodings, strict=True)}
        if combine != "concat" and len(set(widths.values())) > 1:
            raise OptionError(
                "combine", combine, f"must have parts of one width, but the widths are {widths}"
            )
        # mypy types the entries of a ModuleList as plain modules.
        self.encodings = nn.ModuleList(encodings)  # type: ignore[assignment]
        self.combine = combine
        self.in_dim = domain.dim
        self.out_dim = sum(widths.values()) if combine == "concat" else encodings[0].out_dim
        raw = [encoding.includes_input for encoding in encodings]
        # A coordinate plus a wave is no coordinate, nor is a coordinate times another feature.
        self.includes_input = {"concat": any(raw), "sum": all(raw), "product": raw == [True]}[combine]
        # The average of a product is not the product of the averages.
        self.integrates = combine != "product" and any(encoding.integrates for encoding in encodings)

    def forward(self, coords: Tensor, covariance: Tensor | None = None) -> Tensor:
        features = []
        for columns, encoding in zip(self.columns, self.encodings, strict=True):
            footprint = []
            if covariance is not None and encoding.integrates:
                footprint = [covariance[..., columns, :][..., columns]]
            features.append(encoding(coords[..., columns], *footprint))
        if self.combine == "concat":
            return torch.cat(features, dim=-1)
        return reduce(torch.add if self.combine == "sum" else torch.mul, features)

    def feature_frequencies(self) -> Tensor | None:
        """The frequency vectors of a concatenation, with 0 along the columns that a part does not read."""
        waves = [encoding.feature_frequencies() for encoding in self.encodings]
        some = next((wave for wave in waves if wave is not None), None)
        if self.combine != "concat" or some is None:
            return None
        rows = []
        for columns, encoding, wave in zip(self.columns, self.encodings, waves, strict=True):
            rows.append(some.new_zeros(encoding.out_dim, self.in_dim))
            if wave is not None:
                rows[-1][:, columns] = wave
        return torch.cat(rows)

    def formula(self) -> str:
        parts = [
            f"({encoding.formula()}) of columns {', '.join(map(str, columns))}"
            for columns, encoding in zip(self.columns, self.encodings, strict=True)
        ]
        return f"{self.combine} of " + " and ".join(parts)


def _build_part(part: Any, option: str, domain: Domain) -> tuple[list[int], Encoding]:
    """The columns of a part and its encoding."""
    if not isinstance(part, Mapping):
        raise OptionError(option, part, "must be a mapping with columns and encoding")
    for name, value in part.items():
        if name not in ("columns", "encoding"):
            raise OptionError(f"{option}.{name}", value, "is unknown; known are columns and encoding")
    columns, encoding = part.get("columns"), part.get("encoding")
    if columns is None:
        columns = list(range(domain.dim))
    if not _are_columns(columns, domain.dim):
        allowed = f"must be distinct numbers from 0 to {domain.dim - 1}, or null for all"
        raise OptionError(f"{option}.columns", columns, allowed)
    if not callable(encoding):
        raise OptionError(f"{option}.encoding", encoding, "must be a node with a _target_")
    try:
        return list(columns), encoding(domain=domain.select_axes(columns))
    except OptionError as error:
        raise error.within(f"{option}.encoding") from None


def _are_columns(columns: Any, dim: int) -> bool:
    """True for a list of at least one column without repetition."""
    if not isinstance(columns, list | tuple) or not columns:
        return False
    numbers = all(type(column) is int and 0 <= column < dim for column in columns)
    return numbers and len(set(columns)) == len(columns)
