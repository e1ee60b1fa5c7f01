# SPDX-License-Identifier: Apache-2.0
"""Outline structures in new images with a finished model: masks, and a table of areas.

RELEASE is the folder of a run (what was given to it as --out), its release folder, or any bundle of this kind with
weights. IMAGES is an image, a NIfTI volume, a folder that holds one DICOM series, or a folder of all of these, with its
sub-folders. Research only. Not for clinical use.

Examples:
  dsfedmed predict runs/demo pictures --out masks
  dsfedmed predict runs/demo scan.nii.gz --out masks --overlays --probabilities
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dsfedmed.errors import ConfigError

if TYPE_CHECKING:
    from dsfedmed.prediction.images import Outcome
    from dsfedmed.prediction.predictor import Predictor

MOST_SAID = 20
"""Failures that are printed; all are in not_done.txt."""
EPILOG = """\
In DIR, in the same sub-folders as the images:
  NAME_mask.png           of a picture: grey values 0 background, 1, 2 ... the classes (it looks black;
                          --overlays is for the eye)
  NAME_mask.nii.gz        of NIfTI, a DICOM series or another stack: one volume that lies on the image
  areas.csv               every image and class: pixels, mm2 or ml where the file says how large a pixel
                          is, number of separate parts, and whether nothing was found
  NAME_probability_1.tif  with --probabilities, one file a class, values 0 to 1 (.nii.gz of volumes)
  NAME_overlay.png        with --overlays (NAME_overlays/slice_012.png of volumes)

A file that cannot be read is named at the end with the reason, and in not_done.txt; the others are done.
The exit status is then 2. More: docs/how-to/predict.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("release", type=Path, metavar="RELEASE", help="a run, its release folder, or a bundle with weights")
    add("images", type=Path, metavar="IMAGES", help="a file, a DICOM series folder, or a folder of images")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the results: new, empty, or of this model")
    add("--overlays", action="store_true", help="also draw outlines on the images, to look at")
    add("--probabilities", action="store_true", help="also write how likely each class is, pixel by pixel")
    add("--device", default="", metavar="NAME", help="cpu, cuda, cuda:1 or mps (default: cuda where there is one)")
    add("--batch-size", type=int, default=1, metavar="N", help="slices of a volume at once (default %(default)s)")
    add("--threads", type=int, default=0, metavar="N", help="processor threads (default: torch's own choice)")
    add("--local", type=Path, metavar="DIR", help="folder of your dsfedmed.yaml, whose bundle_classes are allowed, too")


def run(args: argparse.Namespace) -> int:
    """Write the results and say where they are; status 2 when an image could not be done."""
    _check_numbers(args)
    import torch  # the list of options has to come without waiting for it

    from dsfedmed.prediction.images import predict_images
    from dsfedmed.prediction.predictor import load
    from dsfedmed.prediction.progress import Progress
    from dsfedmed.prediction.sources import find_sources

    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    predictor = load(args.release, device, batch_size=args.batch_size, also_allowed=_accepted(args.local))
    sources = find_sources(args.images, args.out)
    _say(sources.note and f"{args.images}: {sources.note}")
    _say(sources.left_out and f"{args.images}: {sources.left_out} files are no images and are left out")
    progress = Progress(len(sources.images))
    try:
        outcome = predict_images(
            predictor,
            sources.images,
            args.out,
            probabilities=args.probabilities,
            overlays=args.overlays,
            tell=progress.show,
        )
    finally:
        progress.end()
    print("\n".join(_summary(outcome, predictor, args.out, len(sources.images))), flush=True)
    for _, error in outcome.failed[:MOST_SAID]:
        print(f"not done: {error}", file=sys.stderr)
    return 2 if outcome.failed else 0


def _check_numbers(args: argparse.Namespace) -> None:
    for name, value, least in (("--batch-size", args.batch_size, 1), ("--threads", args.threads, 0)):
        if not least <= value <= 1024:
            raise ConfigError(name, f"{value} is not a usable number", f"Give {least} to 1024.")


def _accepted(local: Path | None) -> tuple[str, ...]:
    if local is None:
        return ()
    from dsfedmed.federated.party.config import accepted_classes

    return tuple(accepted_classes(local))


def _say(line: object) -> None:
    if line:
        print(line, file=sys.stderr, flush=True)


def _summary(outcome: Outcome, predictor: Predictor, out: Path, total: int) -> list[str]:
    values = ", ".join(f"{label} {name}" for label, name in enumerate(predictor.classes, start=1))
    nested = " (a higher one lies within the lower)" if predictor.bundle.nested and len(predictor.classes) > 1 else ""
    lines = [f"{outcome.done} of {total} images done, in {out}:"]
    lines.append(f"  {outcome.files['mask']} masks: 0 background, {values}{nested}")
    if outcome.files["probability"]:
        lines.append(f"  {outcome.files['probability']} files of probabilities")
    if outcome.files["overlay"]:
        lines.append(f"  {outcome.files['overlay']} overlays: {', '.join(_colours(predictor.classes))}")
    lines.append(f"  areas.csv; in {outcome.empty} of the images nothing was found")
    if outcome.failed:
        more = f"; the first {MOST_SAID}:" if len(outcome.failed) > MOST_SAID else ":"
        lines.append(f"{len(outcome.failed)} not done, listed in not_done.txt{more}")
    return lines


def _colours(classes: tuple[str, ...]) -> list[str]:
    from dsfedmed.prediction.overlays import COLOURS

    return [f"{name} {COLOURS[place % len(COLOURS)]}" for place, name in enumerate(classes)]
