# SPDX-License-Identifier: Apache-2.0
"""Skin lesions of ISIC 2017, three clients by skin tone and a held-out test (``isic``).

Get it: https://challenge.isic-archive.com/data/#2017, task 1: ``ISIC-2017_Training_Data``,
``ISIC-2017_Validation_Data`` and ``ISIC-2017_Test_v2_Data`` with their ``..._Part1_GroundTruth``, as archives or
unpacked, in one folder.

Licence: CC0 1.0.

Makes: ``tone_dark``, ``tone_medium`` and ``tone_light`` from the official training set, each split 80/10/10, and
``heldout`` with the official validation and test sets, which is no client: name it as unseen site. Files are taken as
they are; superpixel pictures are left out. The 2017 release names no patients, so every picture is its own case.

Skin tone [inferred]: the paper splits into three clients "by skin tone" and does not say how. Here the individual
typology angle of the skin around each lesion is measured (``skin_tone``) and the training set cut at its terciles; the
two angles stand in ``provenance.json``. They are terciles of this set, which is mostly of light skin: "dark" means the
darkest third. A picture that shows too little skin to measure goes to ``tone_medium``.

Differs from the paper: its code thresholds masks at 128 (they hold 0 and 255 alone) and resizes to 1024 and 256; here
the files keep their size and the bundle resizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dsfedmed.data.datasets.pictures import open_picture
from dsfedmed.data.datasets.plan import Recipe, RecipeOptions, Sample, SitePlan, as_is, unlabelled
from dsfedmed.data.datasets.skin_tone import typology_angle
from dsfedmed.data.datasets.source import Member, Source
from dsfedmed.errors import DataError

IMAGES = r"(?:^|/)ISIC-2017_{}_Data/(?:.*/)?(ISIC_\d+)\.jpg$"
MASKS = r"(?:^|/)ISIC-2017_{}_Part1_GroundTruth/(?:.*/)?(ISIC_\d+)_segmentation\.png$"
TONES = ("tone_dark", "tone_medium", "tone_light")
HELD_OUT = {"Validation": "validation", "Test_v2": "test"}
MEASURED_PX = 256  # tones are measured on a picture of this longest side

Key = tuple[str, ...]


def measure(source: Source, image: Member, mask: Member) -> float | None:
    """Return a picture's ITA in degrees, None where it shows too little skin or cannot be read.

    A picture that cannot be read is reported when its site is written.
    """
    try:
        picture = open_picture(source, image, longest=MEASURED_PX).convert("RGB")
        lesion = open_picture(source, mask).convert("L").resize(picture.size)
    except DataError:
        return None
    return typology_angle(np.asarray(picture) / 255.0, np.asarray(lesion) > 127)


def tercile(angle: float | None, cuts: tuple[float, float]) -> str:
    """Return the client of a tone: below the first cut, up to the second, or above."""
    return TONES[1] if angle is None else TONES[int(angle >= cuts[0]) + int(angle > cuts[1])]


def _samples(source: Source, phase: str, part: str | None = None) -> dict[Key, Sample]:
    images, masks = source.index(IMAGES.format(phase)), source.index(MASKS.format(phase))
    if not images:
        raise source.missing(f"ISIC-2017_{phase}_Data/ISIC_*.jpg", ISIC.homepage)
    return {
        key: as_is(image, masks[key], key[0], key[0], part)
        if key in masks
        else unlabelled(image, key[0], key[0], f"ISIC-2017_{phase}_Part1_GroundTruth/{key[0]}_segmentation.png")
        for key, image in images.items()
    }


def _clients(source: Source) -> tuple[Mapping[str, list[Sample]], tuple[str, ...]]:
    """Deal the training set to the three tones; also return what the provenance says of it."""
    samples = list(_samples(source, "Training").values())
    angles = [measure(source, *sample.sources) if len(sample.sources) == 2 else None for sample in samples]
    seen = [angle for angle in angles if angle is not None]
    if not seen:
        raise DataError(source.path, "no picture shows skin that can be measured", "Is this the official download?")
    low, high = (float(cut) for cut in np.quantile(seen, (1 / 3, 2 / 3)))
    clients: dict[str, list[Sample]] = {tone: [] for tone in TONES}
    for sample, angle in zip(samples, angles, strict=True):
        clients[tercile(angle, (low, high))].append(sample)
    notes = (
        f"skin tone [inferred]: terciles of the typology angle at {low:.2f} and {high:.2f} degrees",
        f"{len(angles) - len(seen)} pictures without a measured tone are in {TONES[1]}",
    )
    return clients, notes


def _plan(source: Source, wanted: Sequence[str], options: RecipeOptions) -> list[SitePlan]:
    del options
    plans = []
    clients, notes = _clients(source) if set(wanted) & set(TONES) else ({}, ())
    for site in wanted:
        if site in clients:
            samples, said = clients[site], notes
        else:
            samples = [sample for phase, part in HELD_OUT.items() for sample in _samples(source, phase, part).values()]
            said = ()
        plans.append(SitePlan(site, ISIC.sites[site], "dermoscopy", ISIC.classes, tuple(samples), {255: 1}, notes=said))
    return plans


ISIC = Recipe(
    name="isic",
    title="skin lesions of ISIC 2017",
    classes=("lesion",),
    sites={
        "tone_dark": "darkest third of the 2000 training pictures",
        "tone_medium": "middle third",
        "tone_light": "lightest third",
        "heldout": "official validation (150) and test (600)",
    },
    homepage="https://challenge.isic-archive.com/data/#2017",
    licence="CC0 1.0",
    citation="Codella et al., Skin Lesion Analysis Toward Melanoma Detection, ISBI 2018",
    about=__doc__ or "",
    plan=_plan,
)
