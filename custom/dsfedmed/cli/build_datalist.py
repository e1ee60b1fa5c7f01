# SPDX-License-Identifier: Apache-2.0
"""Write a site's datalist.json from paired folders, or one per client from the authors' npy layout.

The split goes by case, so all images of a patient stay in one part; the same seed gives the same split.

Without --case-regex the file names are tried for the commonest ways to name a patient (patient3_slice07, P01-02,
case_003_image_2, 0012_L_CC, sub-01_ses-02, a folder per patient). Where one groups the files, the datalist is written
with these patients, and the command says so: patients that are too large cost a little freedom in the split, a patient
in training and in test makes every figure wrong. `--case-regex none` makes each file a patient. Names without such a
structure (0001.png) make each file a patient as well.

Examples:
  dsfedmed build-datalist /data/our_hospital --images images --labels labels --label-names lesion
  dsfedmed build-datalist /data/our_hospital --case-regex '^(patient[0-9]+)_' --split 0.6/0.15/0.25
  dsfedmed build-datalist /data/Prostate --layout npy --case-regex '^(Case[0-9]+)'
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsfedmed.errors import ConfigError, DataError

if TYPE_CHECKING:
    from dsfedmed.data.masks.rule import MaskRule
    from dsfedmed.data.review.case_patterns import CaseProposal

EACH_FILE = "none"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="site folder (paired), or folder of client folders (npy)")
    add("--layout", choices=("paired", "npy"), default="paired", help="how the files lie (default %(default)s)")
    add("--images", default="images", help="paired: folder of the images (default %(default)s)")
    add("--labels", default="labels", help="paired: folder of the labels, same names (default %(default)s)")
    add("--label-suffix", default="", help="paired: suffix of label file names, such as _mask")
    add("--split", default="0.6/0.15/0.25", help="paired: training/validation/test shares (default %(default)s)")
    add("--validation-share", type=float, default=0.15, help="npy: share cut from data_npy (default %(default)s)")
    add("--case-regex", help="finds the patient in a file name: group 1, or the whole match; none: every file")
    add("--label-names", nargs="+", metavar="NAME", help="foreground classes, from label value 1 upwards")
    add("--label-map", help="label values to rewrite, such as 128=1,255=2 (0/255 masks need none)")
    add(
        "--mask",
        metavar="KIND",
        help="what masks mean: values, instances, one-hot, threshold=127, colours=#ff0000:1,...",
    )
    add("--ignore", type=int, help="stored value of pixels that are left out of loss and metrics")
    add("--channels", type=int, help="channels of the images, where they are neither grey nor RGB (2, 4 to 16)")
    add(
        "--exclusive",
        action="store_true",
        help="classes exclude each other (default: label k+1 is inside label k)",
    )
    add("--name", help="paired: the site's name (default: the folder's)")
    add("--seed", type=int, default=0, help="seed of the split (default %(default)s)")
    add("--force", action="store_true", help="replace a datalist.json that is there")


def run(args: argparse.Namespace) -> int:
    """Write the datalists; say what is in them and what comes next."""
    from dsfedmed.data.build import BuildSettings, build_npy_layout, build_paired
    from dsfedmed.data.review.pair_names import quoted

    split, label_map = _shares(args.split), _numbers(args.label_map)
    case_regex = _case_regex(args)
    settings = BuildSettings(
        case_regex=case_regex,
        label_names=tuple(args.label_names or ()),
        label_map=label_map,
        nested=not args.exclusive,
        seed=args.seed,
        force=args.force,
        mask=mask_rule(args.mask, args.ignore),
        channels=args.channels,
    )
    if args.layout == "npy":
        paths = build_npy_layout(args.folder, settings, args.validation_share)
    else:
        paths = [build_paired(args.folder, settings, args.images, args.labels, split, args.label_suffix, args.name)]
    for path in paths:
        print("\n".join(_contents(path, args, case_regex)))
    print("Next:", f"  dsfedmed check-site {' '.join(quoted(str(path.parent)) for path in paths)}", sep="\n")
    return 0


def _contents(path: Path, args: argparse.Namespace, case_regex: str | None) -> list[str]:
    """Return what a datalist holds: images by part, whose they are, and what the classes are called."""
    from dsfedmed.data.datalist import PARTS
    from dsfedmed.store.files import read_json

    document = read_json(path)
    items = [item for part in PARTS for item in document[part]]
    parts = ", ".join(f"{len(document[part])} {part}" for part in PARTS)
    lines = [f"{path}: {len(items)} {'image' if len(items) == 1 else 'images'}: {parts}"]
    if case_regex is not None:
        lines.append(f"  {len({item['case'] for item in items})} patients, as {case_regex!r} finds them")
    elif args.case_regex is None:
        lines.append("  every file is taken as one patient: the names show none (--case-regex says where they do)")
    else:
        lines.append("  every file is taken as one patient, as --case-regex says")
    names = [repr(name) for value, name in document["labels"].items() if value != "0"]
    if not args.label_names:
        called = f"the class is called {names[0]}" if len(names) == 1 else f"the classes are called {', '.join(names)}"
        lines.append(f"  {called}: --label-names gives {'another' if len(names) == 1 else 'others'} (with --force)")
    return lines


def mask_rule(text: str | None, ignore: int | None = None) -> MaskRule | None:
    """Read ``--mask`` and ``--ignore``; None leaves it to be found.

    Raises:
        ConfigError: the text is none of the kinds, or what stands behind "=" is not understood.
    """
    from dsfedmed.data.masks.rule import parse_rule

    if text is None and ignore is None:
        return None
    kind, _, value = (text or "values").replace("one-hot", "one_hot").partition("=")
    entry: dict[str, Any] = {"kind": kind}
    try:
        if kind == "threshold" and value:
            entry["above"] = float(value)
        elif kind == "colours":
            pairs = [part.rsplit(":", 1) for part in value.split(",")]
            entry["colours"] = {colour: int(number) for colour, number in pairs}
        elif value:
            raise ValueError(value)
        if ignore is not None:
            entry["ignore"] = ignore
        highest = max(entry.get("colours", {}).values(), default=1)
        return parse_rule(Path("--mask"), entry, highest)
    except (ValueError, DataError) as error:
        fix = "Write values, instances, one-hot, threshold=127 or colours=#000000:0,#ff0000:1."
        raise ConfigError("--mask", f"{text!r} is not understood ({error})", fix) from error


def _case_regex(args: argparse.Namespace) -> str | None:
    """Return the expression that was given or, without one, that of the first pattern the names follow."""
    from dsfedmed.data.build import find_pairs
    from dsfedmed.data.review.case_patterns import propose_cases
    from dsfedmed.data.review.client_cases import propose_for_clients
    from dsfedmed.data.review.pair_names import require_folders

    if args.case_regex is not None:
        return None if args.case_regex == EACH_FILE else str(args.case_regex)
    root = Path(args.folder)
    if args.layout == "npy":
        proposal = propose_for_clients(root)
    else:
        require_folders(root, args.images, args.labels)
        pairs = find_pairs(root / args.images, root / args.labels, args.label_suffix, quiet=True)
        proposal = propose_cases([image.relative_to(root / args.images).as_posix() for image, _ in pairs])
    if proposal is None:
        return None
    print("\n".join(_said(proposal)))
    return proposal.regex


def _said(proposal: CaseProposal) -> Sequence[str]:
    """Return what the user has to know before believing the split."""
    return (
        f"The file names look like those of {proposal.patients} patients ({proposal.files} files); each is one case:",
        f"  for example one patient: {', '.join(proposal.example)}",
        f"  If that is right, say so the next time: --case-regex '{proposal.regex}'",
        f"  If each file is a patient of its own: --case-regex {EACH_FILE} --force",
    )


def _shares(text: str) -> tuple[float, float, float]:
    try:
        training, validation, test = (float(share) for share in text.split("/"))
    except ValueError as error:
        raise ConfigError("--split", f"{text!r} is not a split", "Write three shares: 0.6/0.15/0.25.") from error
    return training, validation, test


def _numbers(text: str | None) -> dict[int, int] | None:
    try:
        pairs: list[Any] = [pair.split("=") for pair in text.split(",")] if text else []
        return {int(value): int(target) for value, target in pairs} or None
    except ValueError as error:
        raise ConfigError("--label-map", f"{text!r} is not a map", "Write pairs, such as 128=1,255=2.") from error
