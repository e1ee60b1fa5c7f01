# SPDX-License-Identifier: Apache-2.0
"""Options of the methods of others whose sites have no labels: what a preset says under ``method``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dsfedmed.options import require
from dsfedmed.training.semi_supervised.config import PublicLabelOptions


@dataclass(frozen=True)
class FixMatchOptions(PublicLabelOptions):
    """Options of FixMatch.

    Attributes:
        threshold: tau, how sure an answer is that counts as a label; above 0.5 and at most 1. The paper's is 0.95.
    """

    threshold: float = 0.95

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        super().__post_init__()
        good = 0.5 < self.threshold <= 1
        require(good, "method.threshold", f"{self.threshold} is not in (0.5, 1]", "Give 0.95")


@dataclass(frozen=True)
class MeanTeacherOptions(PublicLabelOptions):
    """Options of Mean Teacher.

    Attributes:
        unlabelled_weight: w, of the consistency loss behind its ramp-up; 0 leaves the own images out.
        decay: alpha, of the teacher's running mean over steps; at least 0 and below 1.
        ramp_rounds: R, length of the ramp-up.
    """

    decay: float = 0.99
    ramp_rounds: int = 20

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        super().__post_init__()
        require(0 <= self.decay < 1, "method.decay", f"{self.decay} is not in [0, 1)", "Give 0.99")
        require(self.ramp_rounds > 0, "method.ramp_rounds", "it is below 1", "Give 1 or more")


@dataclass(frozen=True)
class LsslOptions(PublicLabelOptions):
    """Options of LSSL, with the self-assessment of HSSF.

    Attributes:
        flip: confidence below which a pixel's label is turned round, at least 0 and below 0.5; HSSF's is 0.3.
        gate: mean confidence above which an image counts, at least 0 and below 1; HSSF's is 0.75.
    """

    flip: float = 0.3
    gate: float = 0.75

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        super().__post_init__()
        require(0 <= self.flip < 0.5, "method.flip", f"{self.flip} is not in [0, 0.5)", "Give 0.3")
        require(0 <= self.gate < 1, "method.gate", f"{self.gate} is not in [0, 1)", "Give 0.75")


UnlabelledOptions: TypeAlias = FixMatchOptions | MeanTeacherOptions | LsslOptions
"""The options of any of these methods, which say which one it is."""
