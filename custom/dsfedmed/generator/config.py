# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of the generator: generator_base, branch, fitting and sampling."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dsfedmed.algorithms.sides import up_to_multiple
from dsfedmed.generator.config_checks import check_ranges, check_shapes, side_step
from dsfedmed.generator.config_fields import GeneratorFields
from dsfedmed.options import read_options


@dataclasses.dataclass(frozen=True)
class GeneratorConfig(GeneratorFields):
    """One generator, wholly described and checked.

    Raises:
        ConfigError: a value is out of range or two values do not fit together.
    """

    def __post_init__(self) -> None:
        """Normalise lists (as JSON gives them) to tuples, then check every value."""
        for name in ("block_out_channels", "flip_axes"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        check_ranges(self)
        if self.is_embedded:
            check_shapes(self)

    @property
    def is_embedded(self) -> bool:
        """Whether the frozen part is the small base, which the sites train together or the server has as a file."""
        return self.base == "embedded"

    @property
    def latent_channels(self) -> int:
        """Channels of the embedded latents."""
        return self.channels * self.unshuffle**2

    @property
    def extended_size(self) -> int:
        """Side of the images that the embedded networks see, in pixels: the next that their levels divide."""
        return up_to_multiple(self.image_size, side_step(self))

    @property
    def latent_size(self) -> int:
        """Side of the embedded latents."""
        return self.extended_size // self.unshuffle

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values (tuples as lists)."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeneratorConfig:
        """Build from a mapping; a key that is no field raises ConfigError naming it and the nearest valid ones."""
        return read_options(cls, values, "generator_model")
