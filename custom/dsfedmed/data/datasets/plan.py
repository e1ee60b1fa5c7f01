# SPDX-License-Identifier: Apache-2.0
"""What a recipe says: which sites a download holds, which files make up each pair, and what labels mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dsfedmed.data.build import split_cases
from dsfedmed.data.datalist import PARTS, SLICES
from dsfedmed.data.datasets.source import Member, Source
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.seeds import derive_seed

SHARES = (0.8, 0.1, 0.1)
SHARES_BESIDE_OFFICIAL_TEST = (0.9, 0.1, 0.0)


@dataclass(frozen=True)
class RecipeOptions:
    """What a user may choose.

    only: sites to make; empty makes all. unseen: sites of which every case goes to the test part, as the paper's
    leave-one-site-out reads the site it leaves out. seed: of the splits. slices: "labelled" leaves slices without
    foreground out of training and validation, "all" keeps them. tile_px: pictures of tissue are cut into tiles of at
    most this side; 0 leaves them whole. link: hard-link unchanged files instead of copying them. skip_bad: leave
    damaged files out instead of stopping.
    """

    only: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    seed: int = 0
    slices: str = "labelled"
    tile_px: int = 512
    link: bool = False
    skip_bad: bool = False

    def __post_init__(self) -> None:
        """Check the values that are not of themselves right."""
        if self.slices not in SLICES:
            raise ConfigError("slices", f"{self.slices!r} is not known", f"Use {' or '.join(SLICES)}.")
        if self.tile_px and self.tile_px < 32:
            raise ConfigError("tile", f"{self.tile_px} px is too small", "Use 32 or more, or 0 for whole pictures.")


@dataclass(frozen=True)
class Encoded:
    """A converted file: its content and the suffix that says its format."""

    content: bytes
    suffix: str


@dataclass(frozen=True)
class Pair:
    """One image with its label, each either a file of the download as it is or a converted one; ``stem`` names both."""

    stem: str
    image: Member | Encoded
    label: Member | Encoded


@dataclass(frozen=True)
class Sample:
    """One image of the download.

    stem: its name in the site. case: the patient. sources: the files it is made of, the image first. make: reads and
    converts; it may return several pairs (tiles). part: where the official split puts it, None where it is free.
    """

    stem: str
    case: str
    sources: tuple[Member, ...]
    make: Callable[[Source], list[Pair]]
    part: str | None = None


@dataclass(frozen=True)
class SitePlan:
    """A site to be written; the fields after ``samples`` are those of ``datalist.json``.

    single_slices: every sample is one slice of a volume, so that the option ``slices`` applies to it.
    notes: what a reader of the provenance should know.
    """

    name: str
    description: str
    modality: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    label_map: Mapping[int, int] = field(default_factory=dict)
    channels: int = 3
    slices: str | None = None
    single_slices: bool = False
    notes: tuple[str, ...] = ()


Planner = Callable[[Source, Sequence[str], RecipeOptions], list[SitePlan]]


@dataclass(frozen=True)
class Recipe:
    """A data set's recipe. ``sites`` maps each site to what the official download holds; ``about`` tells the rest."""

    name: str
    title: str
    classes: tuple[str, ...]
    sites: Mapping[str, str]
    homepage: str
    licence: str
    citation: str
    about: str
    plan: Planner

    def wanted(self, options: RecipeOptions) -> tuple[str, ...]:
        """Return the names of the sites to make.

        Raises:
            ConfigError: when a name in the options is not one of the recipe's.
        """
        for name in (*options.only, *options.unseen):
            if name not in self.sites:
                raise ConfigError("sites", f"{self.name} has no site {name!r}", f"It has {', '.join(self.sites)}.")
        return tuple(name for name in self.sites if not options.only or name in options.only)


def plain_name(text: str) -> str:
    """Return a file name of letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".")


def as_is(image: Member, label: Member, stem: str, case: str, part: str | None = None) -> Sample:
    """Return a sample whose two files are taken as they are."""
    return Sample(stem, case, (image, label), lambda _: [Pair(stem, image, label)], part)


def unlabelled(image: Member, stem: str, case: str, expected: str) -> Sample:
    """Return a sample that is reported as bad, because its label is not in the download."""

    def fail(_: Source) -> list[Pair]:
        raise DataError(image.where, f"its label {expected} is missing", "Download the labels again.")

    return Sample(stem, case, (image,), fail)


def assign_parts(samples: Sequence[Sample], recipe: str, site: str, options: RecipeOptions) -> dict[str, str]:
    """Return the part of every case: the test for all of an unseen site, else as follows.

    A case with any image in the official test (or validation) goes there whole, so that no patient is cut in two. The
    other cases are dealt out at random by the seed: 80/10/10, or 90/10 where there is an official test.
    """
    if site in options.unseen:
        return {sample.case: "test" for sample in samples}
    official: dict[str, set[str | None]] = {}
    for sample in samples:
        official.setdefault(sample.case, set()).add(sample.part)
    parts = {
        case: next(part for part in reversed(PARTS) if part in places)
        for case, places in official.items()
        if places != {None}
    }
    shares = SHARES_BESIDE_OFFICIAL_TEST if "test" in parts.values() else SHARES
    groups = split_cases(sorted(set(official) - set(parts)), shares, derive_seed(options.seed, recipe, site))
    return parts | {case: part for part, cases in groups.items() for case in cases}
