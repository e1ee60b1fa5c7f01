# SPDX-License-Identifier: Apache-2.0
"""How the server runs the mutual distillation (`dsfedmed.training.distillation.mutual`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dsfedmed.options import read_options, require, require_choice
from dsfedmed.training.precision import AUTOCAST, Autocast


@dataclass(frozen=True)
class ServerDistillationConfig:
    """How the server runs the distillation; what is distilled is in ``DistillationConfig``.

    Attributes:
        batch_size: samples a gradient step; the release has 4.
        score_batch_size: samples a scoring step, without gradients.
        learn: which network's weights move: "both", "teacher" or "student".
        grid: the grid of the comparison: "teacher" (low resolution, as released) or "student" (image size).
        teacher_learning_rate: Adam's, for the teacher's decoder.
        student_learning_rate: Adam's, for the light network.
        autocast: number format of the networks' passes, the embeddings' included: "off" (float32), "bfloat16" (three to
            four times as fast on CPUs with AVX-512 BF16, slower on those without) or "float16" (for GPUs; a step whose
            gradients overflow is left out and counted).
        channels_last: lay the light network's weights and images out channel by channel while it runs; a fifth to a
            fourth faster for TinySAM at 1024 px, nothing or a loss for small networks. Results differ by rounding.
    """

    batch_size: int = 8
    score_batch_size: int = 32
    learn: Literal["both", "teacher", "student"] = "both"
    grid: Literal["teacher", "student"] = "teacher"
    teacher_learning_rate: float = 1e-4
    student_learning_rate: float = 1e-4
    autocast: Autocast = "off"
    channels_last: bool = False

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        for name in ("batch_size", "score_batch_size", "teacher_learning_rate", "student_learning_rate"):
            require(
                getattr(self, name) > 0, f"server_distillation.{name}", "it is not above 0", "Give a positive number"
            )
        require_choice("server_distillation.learn", self.learn, ("both", "teacher", "student"))
        require_choice("server_distillation.grid", self.grid, ("teacher", "student"))
        require_choice("server_distillation.autocast", self.autocast, AUTOCAST)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "server_distillation") -> ServerDistillationConfig:
        """Read a preset's section; an unknown key raises ``ConfigError`` with the nearest valid one."""
        return read_options(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON-ready values."""
        return asdict(self)
