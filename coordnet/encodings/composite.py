from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor, nn

from coordnet.config.build import did_you_mean, matches
from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import UserError


class Composite(Encoding):
    """One encoding per group of columns, put side by side, added or multiplied.

    A part is built from the domain of its columns, with the coordinates, the spacing and the Nyquist frequency of the
    whole. A column may be in several parts, and must be in at least one. Parts that draw at random draw alike if they
    have the same options and the same seed.

    Args:
        domain: Gives the dimension d.
        combine: "concat" puts the features of the parts one after the other; "sum" and "product" take them feature by
            feature, of parts that are equally wide.
        parts: By name, mappings of `columns`, different numbers of 0 to d - 1 in the order that the part is to see them
            (null or absent: all columns), and `encoding`, from a domain to the encoding of these columns.

    Raises:
        UserError: A part is not of this form or refuses its options, a column is in no part, or widths differ.
    """

    encodings: Sequence[Encoding]

    def __init__(
        self, domain: Domain, combine: Literal["concat", "sum", "product"], parts: Mapping[str, Any]
    ) -> None:
        super().__init__()
        made = [make_part(part, f"encoding.parts.{name}", domain) for name, part in parts.items()]
        self.columns = [columns for columns, _ in made]
        encodings = [encoding for _, encoding in made]
        unseen = sorted(set(range(domain.dim)).difference(*self.columns))
        if unseen:
            raise UserError(
                f"encoding.parts={list(parts)} must hold all columns, 0 to {domain.dim - 1}; add {unseen}"
            )
        widths = {name: encoding.out_dim for name, encoding in zip(parts, encodings, strict=True)}
        if combine != "concat" and len(set(widths.values())) > 1:
            raise UserError(
                f"encoding.combine={combine} must have parts of one width, but they have {widths}"
            )
        # To mypy a ModuleList holds modules of no special kind.
        self.encodings = nn.ModuleList(encodings)  # type: ignore[assignment]
        self.combine = combine
        self.in_dim = domain.dim
        self.out_dim = sum(widths.values()) if combine == "concat" else encodings[0].out_dim
        raw = [encoding.includes_input for encoding in encodings]
        # A coordinate plus a wave is none, nor is a coordinate times anything.
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
        """Of a concatenation, those of the parts: 0 along the columns that a part does not see."""
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


def make_part(part: Any, key: str, domain: Domain) -> tuple[list[int], Encoding]:
    if not isinstance(part, Mapping):
        raise UserError(f"{key}={part!r} must be a mapping with columns and encoding")
    for name in part:
        if name not in ("columns", "encoding"):
            raise UserError(f"{key}.{name} is unknown{did_you_mean(name, ('columns', 'encoding'))}")
    columns, encoding = part.get("columns"), part.get("encoding")
    every = range(domain.dim)
    if columns is None:
        columns = list(every)
    if not matches(columns, list[int]) or not columns or sorted(set(columns) & set(every)) != sorted(columns):
        raise UserError(
            f"{key}.columns={columns!r} must be different numbers of 0 to {domain.dim - 1}, or null for all"
        )
    if not callable(encoding):
        raise UserError(f"{key}.encoding={encoding!r} must be a node with a _target_")
    return list(columns), encoding(domain=domain.select_axes(columns))
