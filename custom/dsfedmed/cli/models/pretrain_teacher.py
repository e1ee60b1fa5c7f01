# SPDX-License-Identifier: Apache-2.0
"""Pre-train the small teacher on labelled image folders of other organs.

Each folder holds a datalist.json with "training" and "validation" (the latter is held out and scored at the end). Any
label above 0 counts as foreground. The result is a safetensors file with segment-anything's keys, and beside it a JSON
file that says how it was made. Choose folders that are no site of the federation. Given again, an interrupted command
is resumed (the folder FILE.progress holds what it has).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dsfedmed.networks.promptless_sam.variants import VARIANTS
from dsfedmed.training.teacher.pretrain_config import PretrainConfig
from dsfedmed.version import VERSION

if TYPE_CHECKING:
    from dsfedmed.networks.promptless_sam import PromptlessSam
    from dsfedmed.training.teacher.pretrain import Folder, PretrainResult, Progress

SECONDS_BETWEEN_LINES = 10.0
STATE = "state"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    default = PretrainConfig()
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders with datalist.json")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights file to write (.safetensors)")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default=default.variant, help="teacher size")
    parser.add_argument("--image-size", type=int, default=default.image_size, help="encoder input side, in pixels")
    parser.add_argument("--steps", type=int, default=default.steps, help="gradient steps at most")
    parser.add_argument("--batch-size", type=int, default=default.batch_size, help="images a step")
    parser.add_argument("--minutes", type=float, default=None, help="wall-clock limit (default: none)")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate, help="peak learning rate")
    parser.add_argument("--float32", action="store_true", help="no bfloat16 matrix products (slower)")
    parser.add_argument("--device", default=default.device, help="torch device, such as cpu or cuda")
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of weights, sampling and augmentation")


def run(args: argparse.Namespace) -> int:
    """Load, pre-train, save; print one progress line every ten seconds."""
    from dsfedmed.networks.checkpoints import save_weights
    from dsfedmed.training.teacher.pretrain import load_folders

    config = PretrainConfig(
        variant=args.variant,
        image_size=args.image_size,
        steps=args.steps,
        batch_size=args.batch_size,
        minutes=args.minutes,
        learning_rate=args.learning_rate,
        bfloat16=not args.float32,
        seed=args.seed,
        device=args.device,
    )
    folders = load_folders(args.data, config.image_size)
    for folder in folders:
        print(f"{folder.name}: {len(folder.images)} training, {len(folder.held_out_images)} held out", flush=True)
    network, result = resumable(folders, config, args.out.with_suffix(".progress"))
    save_weights(network.state_dict(), args.out, {"format": "pt"})
    document = describe(args, config, folders, result)
    args.out.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name, dice in result.dice_by_folder.items():
        print(f"held-out Dice {100 * dice:5.1f}  {name}")
    print(f"held-out Dice {100 * result.dice:5.1f}  all; {result.steps} steps in {result.seconds:.0f} s -> {args.out}")
    shutil.rmtree(args.out.with_suffix(".progress"))
    return 0


def resumable(folders: list[Folder], config: PretrainConfig, kept: Path) -> tuple[PromptlessSam, PretrainResult]:
    """Pre-train, and leave in the folder ``kept`` what an interrupted call needs to go on.

    Raises:
        StoreError: the folder holds a pre-training of other images or settings.
    """
    from dsfedmed.exchange.tensors import digest
    from dsfedmed.store.stage_store import StageStore
    from dsfedmed.training.teacher.pretrain import pretrain

    seen = {folder.name: digest({"images": folder.images, "masks": folder.masks}) for folder in folders}
    store = StageStore(kept, {"settings": asdict(config), "data": seen, "version": VERSION})
    before = store.get(STATE) if store.has(STATE) else None
    if before is not None:
        print(f"resuming at step {before.info['step'] + 1}", flush=True)
    return pretrain(
        folders,
        config,
        _Printer(),
        None if before is None else (before.info, before.tensors),
        lambda state: store.put(STATE, state.info(), state.tensors()),
    )


def describe(
    args: argparse.Namespace, config: PretrainConfig, folders: list[Folder], result: PretrainResult
) -> dict[str, object]:
    """Return how the weights were made; folders by name only, so that no path of this machine is written."""
    settings = {key: value for key, value in asdict(config).items() if value is not None}
    command = ["dsfedmed", "pretrain-teacher", "--data", *(path.name for path in args.data), "--out", args.out.name]
    for flag in ("variant", "image_size", "steps", "batch_size", "minutes", "learning_rate", "seed"):
        if flag in settings:
            command += [f"--{flag.replace('_', '-')}", str(settings[flag])]
    if args.float32:
        command.append("--float32")
    return {
        "command": shlex.join(command),
        "data": {f.name: {"training": len(f.images), "held_out": len(f.held_out_images)} for f in folders},
        "settings": settings,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "loss": result.loss,
        "held_out_dice": result.dice,
        "held_out_dice_by_folder": result.dice_by_folder,
        "sha256": hashlib.sha256(args.out.read_bytes()).hexdigest(),
        "version": VERSION,
    }


class _Printer:
    """Print progress at most every ``SECONDS_BETWEEN_LINES`` and on the last step."""

    def __init__(self) -> None:
        self.last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_LINES and progress.step < progress.steps:
            return
        self.last = now
        left = f"{int(progress.seconds_left // 60)}:{int(progress.seconds_left % 60):02d}"
        print(f"step {progress.step}/{progress.steps}  loss {progress.loss:.3f}  {left} left", flush=True)
