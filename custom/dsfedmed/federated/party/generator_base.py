# SPDX-License-Identifier: Apache-2.0
"""The generator's frozen part at one party: the base that came over the wire, or the folder that the party has.

A Stable Diffusion never travels. The server says the hash of its own, and a site that has another refuses: its branch
would steer a network that nobody else has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from dsfedmed.devices import on_device
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed.generator.networks.fingerprint import folder_sha256
from dsfedmed.generator.networks.stable_diffusion import stable_diffusion_base

CACHE = "generator_base.json"


def load_generator_base(config: GeneratorConfig, party: PartyConfig, base: Mapping[str, Tensor]) -> GeneratorBase:
    """Return the generator base on the party's device.

    Args:
        config: what it is.
        party: where its folder and its device are.
        base: weights of the embedded base; not looked at where the party has a folder.
    """
    if not config.is_embedded:
        return stable_diffusion_base(party.need("generator"), config, party.device)
    network = build_base(config)
    network.load_state_dict(base)
    return embedded_base(on_device(network, party.device), config)


def shapes_only(config: GeneratorConfig, party: PartyConfig) -> GeneratorBase:
    """Return the generator base's shapes without its weights: at Stable Diffusion's size it would take gigabytes."""
    if not config.is_embedded:
        return stable_diffusion_base(party.need("generator"), config, "meta")
    return embedded_base(on_device(build_base(config), "meta"), config)


def generator_base_sha256(config: GeneratorConfig, party: PartyConfig, own: Path) -> str | None:
    """Return the hash of the party's Stable Diffusion, remembered in its ``own`` folder; None for the embedded base."""
    return None if config.is_embedded else folder_sha256(party.need("generator"), own / CACHE)


def check_generator_base(
    announced: str | None, config: GeneratorConfig, party: PartyConfig, own: Path, name: str
) -> None:
    """Raise ConfigError unless the party's generator base is the one that the server announced."""
    found = generator_base_sha256(config, party, own)
    if found != announced:
        raise ConfigError(
            name,
            f"its Stable Diffusion is another than the server's ({str(found)[:12]}, not {str(announced)[:12]})",
            "Give `generator` in local/dsfedmed.yaml the same published folder, weights in the same precision",
        )
