# SPDX-License-Identifier: Apache-2.0
"""What a planned federation asks of one hospital: time, bytes, disk and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsfedmed.planning.scene import Scene, SiteSize
from dsfedmed.planning.sizes import Numbers
from dsfedmed.planning.times import StageTime
from dsfedmed.planning.traffic import Traffic

FLOAT = 4
ROUND_COPIES = 4
"""Copies of the network of the rounds that a site keeps: the one it got, its best, and an optimiser's two moments."""
DRAWN_MASKS = "Masks: deformed ones leave, unless the hospital allows its drawn ones (`send_drawn_masks`, off)."
AMPLITUDES = "Amplitudes of training images leave for the other hospitals, if it permits it (`send_amplitudes`, off)."
PRIVACY = "Privacy policy: noise on updates and branch, size of what may leave (docs/data-protection.md)."
AUDIT = (
    "Audit: the site vetoes synthetic images that resemble its own; `audit_quantile` makes it stricter "
    "and `require_audit` (on) keeps it from training with a set that it has not audited."
)


@dataclass(frozen=True)
class Ask:
    """What is asked of one hospital.

    Attributes:
        site: its name.
        seconds: of its own machine's work, for the method alone; None where nothing was calibrated.
        comparison_seconds: the same for the methods that it is compared with.
        down, up: bytes it receives and sends for the method alone.
        disk: bytes it keeps, beside its images.
    """

    site: str
    seconds: float | None
    comparison_seconds: float | None
    down: int
    up: int
    disk: int


def asks(scene: Scene, numbers: Numbers, moved: Sequence[Traffic], times: Sequence[StageTime] | None) -> list[Ask]:
    """Return what is asked of every site; one that is held out is sent the finished networks alone."""
    return [_ask(scene, numbers, moved, times, site) for site in scene.sites]


def decisions(scene: Scene) -> list[str]:
    """Return what every hospital has to decide."""
    shared = [AMPLITUDES] if scene.method == "feddg" else []
    return [DRAWN_MASKS, AUDIT, PRIVACY] if scene.generates else [*shared, PRIVACY]


def _ask(
    scene: Scene, numbers: Numbers, moved: Sequence[Traffic], times: Sequence[StageTime] | None, site: SiteSize
) -> Ask:
    own = [entry for entry in moved if not entry.comparison and (site.takes_part or entry.stage == "evaluate")]
    down, up = sum(entry.down for entry in own), sum(entry.up for entry in own)
    own_time, compared = (None if times is None else _seconds(times, site, comparison) for comparison in (False, True))
    return Ask(site.name, own_time, compared, down, up, _disk(scene, numbers, site))


def _seconds(times: Sequence[StageTime], site: SiteSize, comparison: bool) -> float:
    return sum(time.sites.get(site.name, 0.0) for time in times if time.comparison == comparison)


def _disk(scene: Scene, numbers: Numbers, site: SiteSize) -> int:
    """Return the synthetic or public set, unpacked at most, where the site keeps it, and the networks of the rounds."""
    if not site.takes_part:
        return 0
    settings = scene.settings
    pairs = (scene.pool if settings.synthetic.broadcast else 0) if scene.generates else scene.public[0]
    pixels = pairs * settings.image_size**2 * (scene.channels + 1)
    return pixels + ROUND_COPIES * FLOAT * (numbers.low_rank if scene.method == "pfedsam" else numbers.light)
