from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import UserError
from coordnet.fields.field import BaseField, Precision
from coordnet.networks.base import Network
from coordnet.ranges import check_ranges

# Where directions live; a default count of frequencies is read off it.
SPHERE = Domain((16, 16, 16))
# exp(15) is opaque on the shortest of intervals.
MOST_LOG_DENSITY = 15.0


class RadianceField(BaseField):
    """A density at each place and a color at each place and direction (Mildenhall et al. 2020, sec. 3).

        (s, f) = network(encoding(x))
        sigma = scale * activation(s + shift)
        c = color(f, appearance(x), direction(d))

    Densities are per unit of the coordinates, of which the box has 2 along each axis.

    Args:
        domain: Of 3 dimensions.
        channels: Of the color.
        value_range: (low, high) that colors lie in; None leaves them as they come.
        encoding: Of the place.
        network: From `in_dim` and `out_dim` to the network that reads it.
        direction: From a domain to the encoding of viewing directions, which are unit vectors.
        appearance: From a domain to an encoding of the place that only the color sees, where it matters.
        color: From `in_dim` and `out_dim` to the network of the color. None: the features f are the color.
        num_features: Width of f, in [0, 2^16]; without a color network it is that of the color.
        activation: "softplus", "exp" (held below e^15) or "relu".
        shift: Added before the activation, in [-100, 100].
        scale: Of the density, in (0, 2^28].
        precision: Of the hidden layers.
    """

    def __init__(
        self,
        domain: Domain,
        channels: int,
        value_range: tuple[float, float] | None,
        encoding: Encoding,
        network: Callable[..., Network],
        direction: Callable[..., Encoding],
        appearance: Callable[..., Encoding],
        color: Callable[..., Network] | None,
        num_features: int = 15,
        activation: Literal["softplus", "exp", "relu"] = "softplus",
        shift: float = 0.0,
        scale: float = 1.0,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(precision)
        if domain.dim != 3:
            raise UserError(
                f"radiance: a radiance field has 3 dimensions, but the signal has {domain.dim}; "
                "choose a scene as signal, or leave radiance out"
            )
        check_ranges(RadianceField, num_features=num_features, shift=shift, scale=scale)
        self.encoding = encoding
        self.appearance = appearance(domain=domain)
        self.direction = direction(domain=SPHERE)
        seen = self.appearance.out_dim + self.direction.out_dim
        if color is None:
            if seen:
                raise UserError(
                    "radiance.color=null needs radiance/direction=none and radiance/appearance=none, "
                    "which an experiment may have set"
                )
            num_features = channels
        elif num_features + seen == 0:
            raise UserError("radiance.num_features=0 leaves the color nothing to read")
        self.network = network(in_dim=encoding.out_dim, out_dim=1 + num_features)
        self.colors = None if color is None else color(in_dim=num_features + seen, out_dim=channels)
        self.value_range = value_range
        self.activation = activation
        self.shift = shift
        self.scale = scale

    @property
    def bfloat16_safe(self) -> bool:
        return self.network.bfloat16_safe and (self.colors is None or self.colors.bfloat16_safe)

    def density(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Densities (n, 1) of at least 0 at coords (n, 3), and all that `color` needs of these places."""
        raw = self.run_network(self.network, self.features(self.encoding, coords))
        s = raw[..., :1] + self.shift
        if self.activation == "exp":
            sigma = s.clamp(max=MOST_LOG_DENSITY).exp()
        else:
            sigma = F.softplus(s) if self.activation == "softplus" else s.relu()
        return self.scale * sigma, torch.cat([raw[..., 1:], coords], dim=-1)

    def color(self, features: Tensor, directions: Tensor, ray: Tensor | None = None) -> Tensor:
        """Colors (n, c), toward viewers who look along directions.

        Args:
            features: (n, f), rows of what `density` returned.
            directions: (n, 3) of length 1, or (r, 3) if `ray` (n,) says which belongs to each row.
        """
        inner, coords = features[..., :-3], features[..., -3:]
        raw = inner
        if self.colors is not None:
            told = self.features(self.direction, directions)
            told = told if ray is None else told.index_select(0, ray)
            parts = [inner, self.features(self.appearance, coords), told]
            # Rounded, a direction is off by a fraction of a degree.
            dtype = torch.bfloat16 if self.uses_bfloat16 else torch.float32
            read = torch.cat([part.to(dtype) for part in parts if part.shape[-1]], dim=-1)
            raw = self.run_network(self.colors, read)
        if self.value_range is None:
            return raw
        low, high = self.value_range
        return low + (high - low) * (self.colors or self.network).output_activation(raw)

    def forward(self, coords: Tensor) -> Tensor:
        """Densities (*, 1) at coords (*, 3)."""
        return self.density(coords)[0]
