from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import OptionError, UserError
from coordnet.fields.base import BaseField, Precision
from coordnet.networks.base import Network
from coordnet.options import Range, validate_ranges

# Domain of directions, from which a direction encoding derives its default number of frequencies.
_DIRECTION_DOMAIN = Domain((16, 16, 16))
# A density of exp(15) makes the shortest intervals opaque.
_MAX_LOG_DENSITY = 15.0


class RadianceField(BaseField):
    """A density at each point, and a color at each point and direction (Mildenhall et al. 2020, sec. 3).

        (s, f) = network(encoding(x))
        sigma = density_scale * activation(s + density_bias)
        c = color_network(f, color_encoding(x), direction(d))

    Densities are per unit of the coordinates; the scene box has 2 units along each axis.

    Args:
        domain: Domain of 3 dimensions.
        channels: Number of color channels.
        value_range: Range (low, high) of the colors; None returns raw colors.
        encoding: Encoding of points.
        network: Factory that makes the density network from `in_dim` and `out_dim`.
        direction: Factory that makes the encoding of viewing directions, which are unit vectors, from a domain.
        color_encoding: Factory that makes a second encoding of points, which feeds the color network only, from a
            domain.
        color_network: Factory that makes the color network from `in_dim` and `out_dim`. None: the features f are the
            color.
        num_features: Width of f. Without a color network, the width is `channels`.
        activation: "softplus", "exp" (clamped at e^15) or "relu".
        density_bias: Number that is added to s before the activation.
        density_scale: Factor on the activation.
        precision: Precision of the hidden layers.

    Raises:
        UserError: The domain does not have 3 dimensions.
        OptionError: Encodings have features but there is no color network, or the color network has no inputs.
    """

    @validate_ranges
    def __init__(
        self,
        domain: Domain,
        channels: int,
        value_range: tuple[float, float] | None,
        encoding: Encoding,
        network: Callable[..., Network],
        direction: Callable[..., Encoding],
        color_encoding: Callable[..., Encoding],
        color_network: Callable[..., Network] | None,
        num_features: Annotated[int, Range(0, 2**16)] = 15,
        activation: Literal["softplus", "exp", "relu"] = "softplus",
        density_bias: Annotated[float, Range(-100, 100)] = 0.0,
        density_scale: Annotated[float, Range(0, 2**28, above=True)] = 1.0,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(precision)
        if domain.dim != 3:
            raise UserError(
                f"a radiance field has 3 dimensions, but the signal has {domain.dim}; "
                "choose a scene as signal, or radiance=null"
            )
        self.encoding = encoding
        self.color_encoding = color_encoding(domain=domain)
        self.direction = direction(domain=_DIRECTION_DOMAIN)
        condition_dim = self.color_encoding.out_dim + self.direction.out_dim
        if color_network is None:
            if condition_dim:
                raise OptionError(
                    "color_network",
                    None,
                    "must be a network, because direction and color_encoding have features; for a field without "
                    "a color network use radiance/direction=none and radiance/color_encoding=none, which an "
                    "experiment may have set",
                )
            num_features = channels
        elif num_features + condition_dim == 0:
            raise OptionError(
                "num_features",
                num_features,
                "must be at least 1, because direction and color_encoding have no features",
            )
        self.network = network(in_dim=encoding.out_dim, out_dim=1 + num_features)
        self.color_network = (
            color_network(in_dim=num_features + condition_dim, out_dim=channels) if color_network else None
        )
        self.value_range = value_range
        self.activation = activation
        self.density_bias = density_bias
        self.density_scale = density_scale

    @property
    def bfloat16_safe(self) -> bool:
        """True if the hidden layers of both networks may run in bfloat16."""
        return self.network.bfloat16_safe and (self.color_network is None or self.color_network.bfloat16_safe)

    def density(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Densities (n, 1) of at least 0 and features f (n, num_features) at coords (n, 3)."""
        raw = self.run_network(self.network, self.encode(self.encoding, coords))
        s = raw[..., :1] + self.density_bias
        if self.activation == "exp":
            sigma = s.clamp(max=_MAX_LOG_DENSITY).exp()
        else:
            sigma = F.softplus(s) if self.activation == "softplus" else s.relu()
        return self.density_scale * sigma, raw[..., 1:]

    def color(
        self, coords: Tensor, directions: Tensor, features: Tensor, ray_indices: Tensor | None = None
    ) -> Tensor:
        """Colors (n, c) of points.

        Args:
            coords: Coordinates (n, 3).
            directions: Viewing directions (n, 3) of length 1, from the camera to the points. With `ray_indices`, the
                directions (r, 3) of r rays.
            features: Features f (n, num_features) that `density` returned for the coordinates.
            ray_indices: Indices (n,) of the rays that the points are on.
        """
        raw = features
        if self.color_network is not None:
            direction_features = self.encode(self.direction, directions)
            if ray_indices is not None:
                direction_features = direction_features.index_select(0, ray_indices)
            parts = [features, self.encode(self.color_encoding, coords), direction_features]
            # Bfloat16 rounds a direction by a fraction of a degree.
            dtype = torch.bfloat16 if self.uses_bfloat16 else torch.float32
            color_input = torch.cat([part.to(dtype) for part in parts if part.shape[-1]], dim=-1)
            raw = self.run_network(self.color_network, color_input)
        if self.value_range is None:
            return raw
        low, high = self.value_range
        return low + (high - low) * (self.color_network or self.network).output_activation(raw)

    def forward(self, coords: Tensor) -> Tensor:
        """Densities (*, 1) at coords (*, 3)."""
        return self.density(coords)[0]
