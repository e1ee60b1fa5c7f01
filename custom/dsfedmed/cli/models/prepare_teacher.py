# SPDX-License-Identifier: Apache-2.0
"""Make a promptless SAM bundle with weights from an official SAM checkpoint (size and SHA-256 are checked).

The class head is not in the official file and starts at random: train the bundle before its masks mean anything.

Examples:
  dsfedmed prepare-teacher --checkpoint sam_vit_b_01ec64.pth --classes disc cup --out runs/teacher
  dsfedmed prepare-teacher --own-weights --variant small --checkpoint teacher.safetensors --image-size 64 --out runs/t
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.networks.promptless_sam.variants import VARIANTS

CHANNELS = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="official SAM checkpoint")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="bundle folder to write")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="vit_b", help="(%(default)s)")
    parser.add_argument("--image-size", type=int, default=1024, help="square input side in pixels (%(default)s)")
    parser.add_argument("--classes", nargs="+", default=["foreground"], metavar="NAME", help="(%(default)s)")
    parser.add_argument("--separate", action="store_true", help="classes exclude each other (default: nested)")
    parser.add_argument("--own-weights", action="store_true", help="the checkpoint is not an official SAM file")
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="bundle to fill (default: the one of promptless SAM)"
    )


def run(args: argparse.Namespace) -> int:
    """Check the file, load it, write the bundle, check the bundle."""
    from dsfedmed.bundles.checks import require_bundle
    from dsfedmed.bundles.release import write_release
    from dsfedmed.data.facts import FederationFacts
    from dsfedmed.installation.shipped import bundles
    from dsfedmed.networks.checkpoints import load_weights
    from dsfedmed.networks.promptless_sam import BUNDLE, build_promptless_sam
    from dsfedmed.networks.promptless_sam.official import check_official

    origin = args.checkpoint.name
    if not args.own_weights:
        origin = check_official(args.checkpoint, args.variant).file_name
    network = build_promptless_sam(args.variant, args.image_size, len(args.classes))
    report = load_weights(
        network, args.checkpoint, "--checkpoint", allow_head_change=True, allow_resize=True, allow_channels=True
    )
    print(report.summary())
    facts = FederationFacts(CHANNELS, len(args.classes), tuple(args.classes), not args.separate)
    settings = {"variant": args.variant, "image_size": [args.image_size, args.image_size]}
    note = f"weights of {origin}; the class head is untrained"
    write_release(args.bundle or bundles() / BUNDLE, args.out, network.state_dict(), settings, facts, {}, note=note)
    require_bundle(args.out, weights=True)
    print(args.out)
    return 0
