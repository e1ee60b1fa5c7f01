# SPDX-License-Identifier: Apache-2.0
"""Optic disc and cup in colour fundus photographs of four centres (``fundus``, ``fundus-disc``, ``fundus-cup``).

Get it: the release of DoFE (Wang et al., IEEE TMI 2020), linked at https://github.com/emma-sjwang/Dofe, which gathers
Drishti-GS, RIM-ONE r3 and the two cameras of REFUGE, cropped around the disc. FedDG uses these files. DSFedMed most
likely does: its paper names four centres, and its code reads their grey values (below 200 and 0), but neither names the
sets [inferred]. FedFMS does not: its four are REFUGE, ORIGA, G1020 and Drishti-GS1. Layout:
``Domain1..4/{train,test}/ROIs/{image,mask}/NAME.png``.

Licence: that of the sources (Drishti-GS, RIM-ONE r3, REFUGE), for research; the release adds none of its own.

Makes: four sites with the official test as test part, and a tenth of the patients in the official train as validation.
``fundus`` has nested classes (1 disc, 2 cup within it); ``fundus-disc`` and ``fundus-cup`` are the paper's two binary
tasks. Images are taken as they are; masks are rewritten as integers by the authors' rule: disc where grey < 200, cup
where grey = 0 (the release draws background 255, rim 128, cup 0). Both eyes of a RIM-ONE patient stay together; where
the official split parts them, both go to the test part.

Differs from the paper: its code makes NPY at 1024 px with masks at 256; here the files keep their size and the bundle
resizes. It cuts validation by image, here it goes by patient. It reads the whole of the site it leaves out:
``--unseen SITE`` does that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import numpy as np

from dsfedmed.data.datasets.pictures import grey_of, png
from dsfedmed.data.datasets.plan import Pair, Recipe, RecipeOptions, Sample, SitePlan, plain_name, unlabelled
from dsfedmed.data.datasets.source import Member, Source

DOMAINS = {"drishti_gs": "1", "rim_one_r3": "2", "refuge_zeiss": "3", "refuge_canon": "4"}
FILES = r"(?:^|/)Domain([1-4])/(train|test)/ROIs/{}/([^/]+)\.png$"
DISC_BELOW = 200
CUP = 0
EYE = re.compile(r"([A-Z]-\d+)-[LR]")  # RIM-ONE r3: G-12-L is the left eye of glaucoma patient 12


def label_of(grey: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return integers from a mask's grey values: nested disc and cup, or one of them as 1."""
    masks = {"disc": grey < DISC_BELOW, "cup": grey == CUP}
    return np.asarray(sum(masks[name].astype(np.uint8) for name in classes))


def _make(source: Source, image: Member, mask: Member, stem: str, classes: Sequence[str]) -> list[Pair]:
    return [Pair(stem, image, png(label_of(grey_of(source, mask), classes)))]


def _plan(source: Source, wanted: Sequence[str], options: RecipeOptions, classes: tuple[str, ...]) -> list[SitePlan]:
    del options
    images, masks = source.index(FILES.format("image")), source.index(FILES.format("mask"))
    plans = []
    for site in wanted:
        samples = []
        for key, image in images.items():
            domain, part, name = key
            if domain != DOMAINS[site]:
                continue
            stem = plain_name(f"{part}_{name}")
            eye = EYE.fullmatch(name)
            case = eye.group(1) if eye else name
            if key not in masks:
                samples.append(unlabelled(image, stem, case, f"Domain{domain}/{part}/ROIs/mask/{name}.png"))
                continue
            make = partial(_make, image=image, mask=masks[key], stem=stem, classes=classes)
            official = "test" if part == "test" else None
            samples.append(Sample(stem, case, (image, masks[key]), make, official))
        if not samples:
            raise source.missing(f"Domain{DOMAINS[site]}/train/ROIs/image/*.png ({site})", FUNDUS.homepage)
        about = f"colour fundus photographs cropped around the optic disc, {FUNDUS.sites[site]}"
        plans.append(SitePlan(site, about, "fundus photograph", classes, tuple(samples)))
    return plans


def _recipe(name: str, classes: tuple[str, ...], title: str) -> Recipe:
    return Recipe(
        name=name,
        title=title,
        classes=classes,
        sites={
            "drishti_gs": "Domain1, 50 + 51 images",
            "rim_one_r3": "Domain2, 99 + 60 images",
            "refuge_zeiss": "Domain3 (REFUGE training set), 320 + 80 images",
            "refuge_canon": "Domain4 (REFUGE validation set), 320 + 80 images",
        },
        homepage="https://github.com/emma-sjwang/Dofe",
        licence="for research, as Drishti-GS, RIM-ONE r3 and REFUGE",
        citation="Wang et al., IEEE TMI 2020 (DoFE); Sivaswamy et al. 2015; Fumero et al. 2011; Orlando et al. 2020",
        about=__doc__ or "",
        plan=partial(_plan, classes=classes),
    )


FUNDUS = _recipe("fundus", ("disc", "cup"), "optic disc and cup, nested")
FUNDUS_DISC = _recipe("fundus-disc", ("disc",), "optic disc")
FUNDUS_CUP = _recipe("fundus-cup", ("cup",), "optic cup")
