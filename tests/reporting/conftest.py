# SPDX-License-Identifier: Apache-2.0
"""A made-up run folder, complete in every part, with figures that a seed fixes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dsfedmed.reporting.pictures import Picture, contact_sheet, overlay_png, write_picture_index
from dsfedmed.reporting.report import build_report
from dsfedmed.version import VERSION

SITES, UNSEEN = ("busi", "logiq7", "logiq5"), ("aplio300",)
METHODS = {
    "local": (0.70, 0.66),
    "fedavg": (0.779, 0.772),
    "fedavg_equal_steps": (0.801, 0.799),
    "teacher_before": (0.769, 0.799),
    "teacher": (0.779, 0.805),
    "dsfedmed": (0.789, 0.803),
}
MIB = 2**20


def fake_record(seed: int = 0, classes: int = 1, images: int = 24, rounds: int = 12) -> dict[str, Any]:
    """Return a complete record as the federation writes it."""
    random = np.random.default_rng(seed)
    difficulty = {site: random.normal(0, 0.11, images) for site in (*SITES, *UNSEEN)}
    return {
        "name": f"breast_us_seed{seed}",
        "method": "dsfedmed",
        "preset": "cpu",
        "seed": seed,
        "started": "2026-11-20T09:12:44+00:00",
        "finished": "2026-11-20T10:31:02+00:00",
        "verdict": "complete",
        "config": {
            "rounds": rounds,
            "min_sites": 2,
            "schedule": "interleaved",
            "distil": {
                "at": "both",
                "interval_rounds": 3,
                "rule": "softmax",
                "lambda": 0.5,
                "rate": 0.5,
                "temperature": 1.0,
            },
            "light": {"bundle": "bundles/light_unet_segmentation", "image_size": 64, "batch_size": 16},
        },
        "sites": list(SITES),
        "unseen": list(UNSEEN),
        "versions": {"dsfedmed": VERSION, "monai": "1.6.1", "nvflare": "2.9.0", "torch": "2.15.0", "python": "3.11.7"},
        "label_names": ["lesion"] if classes == 1 else ["cytoplasm", "nucleus"],
        "facts": {s: {"counts": {"training": 215, "validation": 54, "test": images}} for s in (*SITES, *UNSEEN)},
        "events": _events(),
        "stages": [
            {"name": "check sites", "seconds": 4.2, "resumed": True},
            {"name": "fit base", "seconds": 412.0, "resumed": False},
            {"name": "fit branches", "seconds": 655.3, "resumed": False},
            {"name": "synthesise", "seconds": 301.8, "resumed": False},
            {"name": "audit", "seconds": 21.4, "resumed": False},
            {"name": "broadcast", "seconds": 3.9, "resumed": False},
            {"name": "adapt the teacher", "seconds": 388.0, "resumed": False},
            {"name": "rounds", "seconds": 1904.6, "resumed": False},
            {"name": "comparison: fedavg", "seconds": 744.1, "resumed": False},
            {"name": "release", "seconds": 12.0, "resumed": False},
        ],
        "curves": {"fedavg": _curve(random, 2 * rounds, 39, 0.79), "dsfedmed": _curve(random, rounds, 78, 0.80)},
        "budgets": {
            "fedavg": {"rounds": rounds, "local_steps": 39 * rounds},
            "fedavg_equal_steps": {"rounds": 2 * rounds, "local_steps": 78 * rounds},
            "dsfedmed": {"rounds": rounds, "local_steps": 78 * rounds},
        },
        "selected": {
            "fedavg": {"round": rounds - 1, "local_steps": 39 * (rounds - 1)},
            "fedavg_equal_steps": {"round": 2 * rounds - 3, "local_steps": 39 * (2 * rounds - 3)},
            "dsfedmed": {"round": rounds - 2, "local_steps": 78 * (rounds - 2)},
        },
        "cases": {
            method: {
                site: [_case(random, m, d, classes, i // 2) for i, d in enumerate(difficulty[site])]
                for site, m in ((s, means[s in UNSEEN]) for s in (*SITES, *UNSEEN))
            }
            for method, means in METHODS.items()
        },
        "learnability": [_scoring(random, r, rounds) for r in range(3, rounds + 1, 3)],
        "audit": {
            s: {
                "candidates": 1350,
                "vetoed": int(random.integers(0, 12)),
                "threshold": 0.031,
                "distances": _histogram(random.gamma(9, 0.011, 1350)),
            }
            for s in SITES
        },
        "synthetic": {
            "count": 1350,
            "kept": 1331,
            "bytes": 7_012_330,
            "sheets": {s: f"synthetic/{s}.png" for s in SITES},
        },
        "bytes": {
            "entries": _entries(rounds),
            "fedsam": {"parameters": 1_820_000, "bytes_per_round_per_site_per_direction": 7_280_000, "rounds": rounds},
        },
        "parameters": {"light": 304_000, "teacher": 1_820_000, "branch": 1_700_000, "base": 3_600_000},
        "inference_ms": {"light": 3.1, "teacher": 11.8},
    }


def write_run(run: Path, record: dict[str, Any], pictures: bool = False) -> Path:
    """Write a run folder: the record and, where asked for, pictures and sheets."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    if pictures:
        for site in (*SITES, *UNSEEN):
            _pictures(run / "sites" / site / "pictures", site)
        for site in SITES:
            images, labels = zip(*(blob(index, 64, 64) for index in range(18)), strict=True)
            stack = (torch.stack(images) * 255).to(torch.uint8)
            contact_sheet(stack, torch.stack(labels).to(torch.uint8), run / "synthetic" / f"{site}.png")
    return run


def blob(seed: int, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a speckled (1, width, height) image with a dark ellipse, and its mask."""
    random = np.random.default_rng(seed)
    x, y = np.mgrid[0:width, 0:height]
    cx, cy = width * random.uniform(0.4, 0.6), height * random.uniform(0.4, 0.6)
    mask = ((x - cx) / (width * 0.22)) ** 2 + ((y - cy) / (height * 0.16)) ** 2 < 1
    image = np.where(mask, 0.16, 0.52 - 0.25 * y / height) * random.gamma(6, 1 / 6, (width, height))
    return torch.tensor(image[None].clip(0, 1), dtype=torch.float32), torch.tensor(mask[None])


@pytest.fixture
def record() -> dict[str, Any]:
    """Return a complete record of one class."""
    return fake_record()


@pytest.fixture(scope="session")
def built_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with pictures whose report has been built once; tests only read it."""
    run = write_run(tmp_path_factory.mktemp("built") / "run", fake_record(), pictures=True)
    build_report(run)
    return run


@pytest.fixture
def make_record() -> Callable[..., dict[str, Any]]:
    """Return the factory of records."""
    return fake_record


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a run folder and returns its path."""

    def make(data: dict[str, Any] | None = None, name: str = "run", pictures: bool = False) -> Path:
        return write_run(tmp_path / name, fake_record() if data is None else data, pictures)

    return make


def _case(random: np.random.Generator, mean: float, offset: float, classes: int, case: int) -> dict[str, Any]:
    dice = [float(np.clip(mean - 0.02 * k + offset + random.normal(0, 0.035), 0, 0.98)) for k in range(classes)]
    return {
        "dice": dice,
        "iou": [value / (2 - value) for value in dice],
        "hd95": [float(4 + 60 * (1 - value)) for value in dice],
        "case": case,
    }


def _curve(random: np.random.Generator, rounds: int, steps: int, top: float) -> list[dict[str, Any]]:
    return [
        {
            "round": r,
            "local_steps": steps * r,
            "validation": {
                s: top * (1 - math.exp(-r / 4)) + random.normal(0, 0.008) - 0.02 * i for i, s in enumerate(SITES)
            },
            "loss": {s: 0.9 * math.exp(-r / 6) + 0.15 + random.normal(0, 0.01) for s in SITES},
        }
        for r in range(1, rounds + 1)
    ]


def _histogram(values: np.ndarray) -> dict[str, Any]:
    counts, edges = np.histogram(values, bins=24)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _scoring(random: np.random.Generator, at: int, rounds: int) -> dict[str, Any]:
    scores = random.normal(0.1 * at / rounds, 1.1 - 0.4 * at / rounds, 1331)
    return {
        "round": at,
        "scores": {"mean": float(scores.mean()), "std": float(scores.std()), "histogram": _histogram(scores)},
        "selected_mean": float(np.sort(scores)[-665:].mean()),
        "teacher_loss": 0.35 * math.exp(-at / 20),
        "student_loss": 0.52 * math.exp(-at / 12),
        "kl": 0.2 * math.exp(-at / 9),
        "selected": 665,
        "pool": 1331,
    }


def _events() -> list[dict[str, Any]]:
    at = {"time": "2026-11-20T09:48:01+00:00", "stage": "rounds"}
    return [
        {**at, "round": 4, "site": "logiq5", "kind": "missing", "message": "no answer within 120 s; the round went on"},
        {**at, "round": 5, "site": "logiq5", "kind": "returned", "message": "back, given the current weights"},
        {
            **at,
            "round": 7,
            "site": "busi",
            "kind": "refused",
            "message": "update refused: 'model.0.weight' <not finite>",
        },
        {**at, "stage": "audit", "round": None, "site": "logiq7", "kind": "vetoed", "message": "7 of 1350 images"},
    ]


def _entries(rounds: int) -> list[dict[str, Any]]:
    found = []
    for site in SITES:
        for stage, direction, size, messages in (
            ("fit base", "up", 14 * MIB, 4),
            ("fit base", "down", 14 * MIB, 4),
            ("fit branches", "up", 7 * MIB, 1),
            ("broadcast", "down", 7 * MIB, 12),
            ("rounds", "up", 0.6 * MIB * rounds, rounds),
            ("rounds", "down", 0.6 * MIB * rounds, rounds),
        ):
            base = {"site": site, "direction": direction, "stage": stage, "bytes": int(size), "messages": messages}
            found.append({**base, "purpose": "method"})
        for direction in ("up", "down"):
            one = {"site": site, "direction": direction, "stage": "comparison: fedavg", "bytes": 9 * MIB, "messages": 9}
            found.append({**one, "purpose": "comparison"})
    return found


def _pictures(folder: Path, site: str) -> None:
    index = []
    for number, method in enumerate(("fedavg", "dsfedmed", "teacher")):
        for position, (rank, dice, gap) in enumerate(
            (("best", 0.95, 0.05), ("median", 0.8, 0.0), ("worst", 0.31, -0.2))
        ):
            image, target = blob(7 * position + len(site), 128, 96)
            prediction = torch.roll(target, (position * 6 + 2, number * 3), dims=(1, 2))
            name = f"{method}_{rank}.png"
            overlay_png(image, target, prediction, folder / name)
            scored = dice - gap if method == "fedavg" else dice
            index.append(Picture(name, method, f"case{position:04d}", rank, scored, difference=gap))
    write_picture_index(folder, index)
