# SPDX-License-Identifier: Apache-2.0
"""Everything that is planned of a federation, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dsfedmed.planning.asks import Ask, decisions
from dsfedmed.planning.calibration import Calibration
from dsfedmed.planning.far_apart import Apartness
from dsfedmed.planning.fingerprint import SiteFingerprint
from dsfedmed.planning.proposal import Choice
from dsfedmed.planning.scene import Scene
from dsfedmed.planning.sizes import Numbers
from dsfedmed.planning.times import HIGH, LOW, StageTime
from dsfedmed.planning.traffic import Traffic, beside

FORM = 1
"""Of the JSON document; counted up when a key changes its meaning."""
TRAINED_BYTES = 16
"""Bytes of a number in training: weight, gradient and two moments of Adam, four bytes each."""


@dataclass(frozen=True)
class Plan:
    """A planned federation.

    Attributes:
        method: a key of `dsfedmed.methods.METHODS`.
        scene: settings, sites and stages that it was reckoned for.
        sites: fingerprints.
        apart: how far apart the source sites are.
        helps: in words whether the method is likely to help.
        choices: proposed settings, the preset among them.
        options: of the command that runs it, with what is proposed.
        laid: whether they are part of the settings that were reckoned for.
        numbers: of each network.
        traffic: of a source site.
        asked: of each site.
        disk: bytes that a run on this machine needs.
        workers: sites that work at the same time on this machine.
        device: of the calibration and the times.
        calibration: None where none was made; there are no times then.
        times: of every stage; None without a calibration.
        unlike: held-out sites that are unlike every source site, and in what.
    """

    method: str
    scene: Scene
    sites: tuple[SiteFingerprint, ...]
    apart: Apartness
    helps: str
    choices: tuple[Choice, ...]
    options: tuple[str, ...]
    laid: bool
    numbers: Numbers
    traffic: tuple[Traffic, ...]
    asked: tuple[Ask, ...]
    disk: int
    workers: int
    device: str
    calibration: Calibration | None = None
    times: tuple[StageTime, ...] | None = None
    unlike: Mapping[str, str] = field(default_factory=dict)

    @property
    def trained_memory(self) -> int:
        """Bytes of the largest network that is trained, with its optimiser, without activations."""
        numbers = self.numbers
        teacher = numbers.teacher if self.method in ("samfed", "pfedsam") else 0
        return TRAINED_BYTES * max(numbers.light, numbers.base, numbers.branch, teacher)

    def seconds(self, comparison: bool, at_hospitals: bool = False) -> float | None:
        """Return the seconds of the method's stages or of the comparison's; None without a calibration."""
        if self.times is None:
            return None
        asked = [time for time in self.times if time.comparison == comparison]
        return sum(time.at_hospitals if at_hospitals else time.here(self.workers) for time in asked)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        scene, calibration = self.scene, self.calibration
        return {
            "form": FORM,
            "method": self.method,
            "settings": scene.settings.to_dict(),
            "sites": [asdict(site) for site in self.sites],
            "how_far_apart": asdict(self.apart),
            "unlike_every_source": dict(self.unlike),
            "likely_to_help": self.helps,
            "proposed": [asdict(choice) for choice in self.choices],
            "options": list(self.options),
            "reckoned_with_proposals": self.laid,
            "parameters": asdict(self.numbers),
            "bytes_a_site": {
                "stages": [asdict(entry) for entry in self.traffic],
                "beside": beside(scene, self.numbers),
                "number_format": scene.settings.light.precision,
            },
            "seconds": None if self.times is None else self._seconds(self.times),
            "calibration": None if calibration is None else asdict(calibration),
            "memory_bytes": {
                "network_and_optimiser": self.trained_memory,
                "peak_of_calibration": None if calibration is None else calibration.memory,
            },
            "disk_bytes": self.disk,
            "asked_of_each_site": [asdict(ask) for ask in self.asked],
            "decisions": decisions(scene),
        }

    def _seconds(self, times: tuple[StageTime, ...]) -> dict[str, Any]:
        return {
            "device": self.device,
            "sites_at_a_time": self.workers,
            "stages": [
                {**asdict(time), "here": time.here(self.workers), "at_hospitals": time.at_hospitals} for time in times
            ],
            "method": self.seconds(comparison=False),
            "comparison": self.seconds(comparison=True),
            "method_at_hospitals": self.seconds(comparison=False, at_hospitals=True),
            "factors": [LOW, HIGH],
        }
