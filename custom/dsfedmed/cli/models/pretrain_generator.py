# SPDX-License-Identifier: Apache-2.0
"""Train the generator's small base on public or made-up images, for runs with `generator.base: given`.

Each folder holds a datalist.json; its "training" images are used, with labels or without. Each is drawn as it is,
inverted or in grey. The result is a safetensors file that says what generator it is for, and beside it a JSON file that
says how it was made. Give a run's size and channels, and what its preset sets of `generator_model`. Examples:
  dsfedmed pretrain-generator --data PUBLIC/polyp PUBLIC/skin --image-size 64 --channels 3 --out base.safetensors
  dsfedmed pretrain-generator --data PUBLIC/polyp --set block_out_channels='[16, 32]' --out small.safetensors
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsfedmed.errors import ConfigError
from dsfedmed.generator.config_fields import GeneratorFields
from dsfedmed.options import require
from dsfedmed.training.base_training import BaseTraining
from dsfedmed.version import VERSION

if TYPE_CHECKING:
    from dsfedmed.generator.config import GeneratorConfig

SECONDS_BETWEEN_LINES = 10.0
SUFFIX = ".safetensors"
OWN_OPTIONS = ("image_size", "channels")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    training, model = BaseTraining(), GeneratorFields()
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders with datalist.json")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=f"weights file to write ({SUFFIX})")
    parser.add_argument("--image-size", type=int, default=model.image_size, help="side of the images, in pixels")
    parser.add_argument("--channels", type=int, default=model.channels, help="1 (grey), 3 (RGB) or up to 16")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of `generator_model`")
    parser.add_argument("--steps", type=int, default=training.steps, help="gradient steps at most (%(default)s)")
    parser.add_argument("--minutes", type=float, default=None, help="wall-clock limit (default: none)")
    parser.add_argument("--device", default=training.device, help="torch device, such as cpu or cuda")
    parser.add_argument("--seed", type=int, default=training.seed, help="seed of weights, order, noise and looks")


def run(args: argparse.Namespace) -> int:
    """Load, train, write; print one progress line every ten seconds."""
    import torch

    from dsfedmed.generator.base_file import write_base
    from dsfedmed.store.files import file_sha256, write_text
    from dsfedmed.training.pretrain_base import load_public_images, pretrain_base

    require(args.out.suffix == SUFFIX, str(args.out), f"does not end in {SUFFIX}", f"Give a FILE{SUFFIX}")
    config = _model(args)
    training = BaseTraining(args.steps, args.minutes, args.seed, args.device)
    images = load_public_images(args.data, config)
    for name, found in images.items():
        print(f"{name}: {len(found)} images", flush=True)
    printer = _Printer(training)
    network, loss = pretrain_base(torch.cat(list(images.values())), config, training, printer)
    write_base(args.out, network.state_dict(), config)
    counts = {name: len(found) for name, found in images.items()}
    document = {**_describe(args, config, counts), "steps": printer.step, "loss": loss}
    document |= {"seconds": round(printer.seconds, 1), "sha256": file_sha256(args.out), "version": VERSION}
    write_text(args.out.with_suffix(".json"), json.dumps(document, indent=2) + "\n")
    print(f"mean loss {loss:.4f}; {printer.step} steps in {printer.seconds:.0f} s -> {args.out}")
    return 0


def _model(args: argparse.Namespace) -> GeneratorConfig:
    from dsfedmed.generator.config import GeneratorConfig
    from dsfedmed.settings import parse_override

    values: dict[str, Any] = {}
    for text in args.set:
        values |= parse_override(text)
    for name in OWN_OPTIONS:
        option = f"--{name.replace('_', '-')}"
        require(name not in values, f"--set {name}", "has an option of its own", f"Give {option}")
    config = GeneratorConfig.from_dict({**values, **{name: getattr(args, name) for name in OWN_OPTIONS}})
    if not config.is_embedded:
        raise ConfigError("generator_model.base", f"{config.base!r} is not trained here", "Leave it out: embedded")
    return config


def _describe(args: argparse.Namespace, config: GeneratorConfig, counts: dict[str, int]) -> dict[str, Any]:
    """Return how the base was made; folders by name only, so that no path of this machine is written."""
    from dsfedmed.generator.networks.fingerprint import base_fingerprint

    command = ["dsfedmed", "pretrain-generator", "--data", *(path.name for path in args.data), "--out", args.out.name]
    for name in ("image_size", "channels", "steps", "minutes", "seed"):
        if getattr(args, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    command += [word for text in args.set for word in ("--set", text)]
    model = {"generator_model": config.to_dict(), "fingerprint": base_fingerprint(config)}
    return {"command": shlex.join(command), "data": counts, **model}


class _Printer:
    """Print progress at most every ``SECONDS_BETWEEN_LINES`` and on the last step."""

    def __init__(self, training: BaseTraining) -> None:
        self.training, self.step, self.seconds = training, 0, 0.0
        self.started, self.last = time.monotonic(), float("-inf")

    def __call__(self, step: int, loss: float) -> None:
        from dsfedmed.training.pretrain_base import share_done

        now = time.monotonic()
        self.step, self.seconds = step, now - self.started
        if now - self.last < SECONDS_BETWEEN_LINES and step < self.training.steps:
            return
        self.last = now
        share = share_done(step, self.seconds, self.training)
        left = max(self.seconds * (1 - share) / share, 0.0)
        clock = f"{int(left // 60)}:{int(left % 60):02d}"
        print(f"step {step}/{self.training.steps}  loss {loss:.4f}  {clock} left", flush=True)
