# SPDX-License-Identifier: Apache-2.0
"""What a site would send and receive, stage by stage, as the ledger would count it; headers of messages are left out.

Whole weights travel in the run's number format (half precision in int8), differences of the light network in int8 take
a byte a number at most: entropy coding saves 6 to 9 % of it for updates like random ones (docs/results/costs.md). The
synthetic set travels as PNG: 0.34 (breast ultrasound), 0.42 (blood cells) and 0.49 (nuclei) of its pixels' bytes in the
committed records; ``PNG_SHARE`` is the greatest of these, rounded up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dsfedmed.planning.scene import Scene
from dsfedmed.planning.sizes import Numbers

WHOLE = {"fp32": 4, "fp16": 2, "int8": 2}
"""Bytes of a number of whole weights."""
DIFFERENCE = {"fp32": 4, "fp16": 2, "int8": 1}
"""Bytes of a number of a difference of the network in training."""
PNG_SHARE = 0.5


@dataclass(frozen=True)
class Traffic:
    """Bytes that one site receives and sends in a stage."""

    stage: str
    down: int
    up: int
    comparison: bool = False


def is_comparison(stage: str) -> bool:
    """Tell whether a stage is for the comparison of methods alone, whose bytes and time are counted apart."""
    return stage.startswith("compare ") or stage == "evaluate comparison"


def traffic(scene: Scene, numbers: Numbers) -> list[Traffic]:
    """Return what a source site sends and receives in each stage that moves anything of size."""
    stages = {**_STAGES, **_OF_METHOD.get(scene.method, {})}
    found = [(stage, *stages[stage](scene, numbers)) for stage in scene.stages if stage in stages]
    return [Traffic(stage, down, up, is_comparison(stage)) for stage, down, up in found if down or up]


def federated(scene: Scene, numbers: int, rounds: int) -> tuple[int, int]:
    """Return bytes down and up of a site whose network of so many numbers is averaged for so many rounds.

    Down go the start, the weights after every round, and in trials the mean with and without each update; up go the
    differences.
    """
    precision = scene.settings.light.precision
    whole, change = WHOLE[precision] * numbers, DIFFERENCE[precision] * numbers
    tried = scene.trials(rounds) * len(scene.sources) * whole
    return whole + rounds * change + tried, rounds * change


def beside(scene: Scene, numbers: Numbers) -> dict[str, int]:
    """Return bytes of a site, down and up together, of FedAvg and of FedSAM at equal rounds in the same number format.

    FedSAM federates the teacher, every number of it.
    """
    rounds = scene.compared_rounds
    sizes = {"FedAvg": numbers.light, "FedSAM": numbers.teacher}
    return {name: sum(federated(scene, size, rounds)) for name, size in sizes.items()}


def set_bytes(scene: Scene) -> int:
    """Return the bytes of the synthetic set as it travels, or of SAM-Fed's public set."""
    pairs = scene.pool if scene.generates else scene.public[0]
    return round(PNG_SHARE * pairs * scene.settings.image_size**2 * (scene.channels + 1))


def _base(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    size = WHOLE[scene.settings.light.precision] * numbers.base * scene.settings.generator.base_rounds
    return size, size


def _branches(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    """The frozen base comes down; the branch and label maps, a bit a pixel and bit of the class, go up."""
    width, settings = WHOLE[scene.settings.light.precision], scene.settings
    pixels = settings.synthetic.per_site * settings.image_size**2
    masks = scene.num_classes.bit_length() * -(-pixels // 8)
    return width * numbers.base, width * numbers.branch + masks


def _audit(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    """The set comes down; a number a pair, its distance, goes up."""
    del numbers
    return set_bytes(scene), 4 * scene.pool


def _parts(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    return scene.tried_networks * WHOLE[scene.settings.light.precision] * numbers.light, 0


def _rounds(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    """FedAvg's, and after each distillation the teacher's soft labels: a byte a class and a quarter of the pixels."""
    settings = scene.settings
    down, up = federated(scene, numbers.light, settings.rounds)
    if settings.schedule.average_rounds:
        down += WHOLE[settings.light.precision] * numbers.light
    if settings.schedule.distil_at != "server":
        levels = scene.selected * scene.num_classes * (settings.image_size // 2) ** 2
        down += len(scene.distillations) * levels
    return down, up


def _fedavg(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    return federated(scene, numbers.light, scene.compared_rounds)


def _equal_steps(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    return federated(scene, numbers.light, scene.further_rounds)


def _local(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    size = WHOLE[scene.settings.light.precision] * numbers.light
    return size, size


def _fedsam(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    return federated(scene, numbers.teacher, scene.compared_rounds)


def _fedlora(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    return federated(scene, numbers.low_rank, scene.compared_rounds)


def _local_lora(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    size = WHOLE[scene.settings.light.precision] * numbers.low_rank
    return size, size


def _evaluate(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    return scene.own_models * WHOLE[scene.settings.light.precision] * numbers.light, 0


def _evaluate_comparison(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    """A source site gets every light network that is compared, its own among them, and the teachers."""
    asked = scene.settings.compare
    light = sum((asked.fedavg or asked.equal_steps, asked.equal_steps, asked.fedprox, asked.centralised, asked.local))
    teachers = (2 if asked.teacher and scene.generates else 0) + asked.fedsam + asked.fedmsa
    updates = (asked.fedlora + asked.local_lora) * numbers.low_rank
    return WHOLE[scene.settings.light.precision] * (light * numbers.light + teachers * numbers.teacher + updates), 0


_STAGES: dict[str, Callable[[Scene, Numbers], tuple[int, int]]] = {
    "fit base": _base,
    "fit branches": _branches,
    "audit": _audit,
    "score parts": _parts,
    "rounds": _rounds,
    "compare fedavg": _fedavg,
    "compare equal steps": _equal_steps,
    "compare fedprox": _fedavg,
    "compare local": _local,
    "compare fedsam": _fedsam,
    "compare fedmsa": _fedsam,
    "compare fedlora": _fedlora,
    "compare local_lora": _local_lora,
    "evaluate": _evaluate,
    "evaluate comparison": _evaluate_comparison,
}


def _personal_rounds(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    """The global branch of pFedSAM, as FedAvg's network; the personal one stays."""
    return federated(scene, numbers.low_rank, scene.settings.rounds)


def _personal_evaluate(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    return scene.own_models * WHOLE[scene.settings.light.precision] * numbers.low_rank, 0


def _tuned(scene: Scene, numbers: Numbers) -> int:
    """Return how many numbers of SAM-Fed's tuned teacher travel."""
    return numbers.low_rank if scene.settings.teacher.tune == "lora" else numbers.teacher


def _broadcast(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    """Teacher, in half precision whatever the rounds use, and the public set come down, once."""
    return WHOLE["fp16"] * _tuned(scene, numbers) + set_bytes(scene), 0


def _agreement_rounds(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    """The server validates on its public set: the last mean, trials and the mean of rounds go nowhere."""
    precision, rounds = scene.settings.light.precision, scene.settings.rounds
    change = DIFFERENCE[precision] * numbers.light
    return WHOLE[precision] * numbers.light + (rounds - 1) * change, rounds * change


def _semi_evaluate_comparison(scene: Scene, numbers: Numbers) -> tuple[int, int]:
    """The network of the public labels alone, and the teacher."""
    return WHOLE[scene.settings.light.precision] * (numbers.light + _tuned(scene, numbers)), 0


_OF_METHOD: dict[str, dict[str, Callable[[Scene, Numbers], tuple[int, int]]]] = {
    "pfedsam": {"rounds": _personal_rounds, "evaluate": _personal_evaluate},
    "samfed": {
        "broadcast teacher": _broadcast,
        "rounds": _agreement_rounds,
        "evaluate comparison": _semi_evaluate_comparison,
    },
}
