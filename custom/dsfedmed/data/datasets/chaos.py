# SPDX-License-Identifier: Apache-2.0
"""Liver in abdominal CT and MRI of CHAOS, two sites by modality (``chaos``).

Get it: https://zenodo.org/records/3431873 (linked at https://chaos.grand-challenge.org): ``CHAOS_Train_Sets.zip`` with
``Train_Sets/CT/N/{DICOM_anon,Ground}`` and ``Train_Sets/MR/N/{T1DUAL,T2SPIR}/{DICOM_anon,Ground}``. The official test
sets have no public masks.

Licence: CC BY-SA 4.0.

Makes: ``CT`` (20 patients) and ``MR`` (20 other patients; T1 in phase, T1 out of phase and T2 SPIR), one class. DICOM
files are taken as they are. CT masks hold 0 and 255 and are taken as they are; MR masks hold four organs, of which the
liver (55 to 70, nominally 63) is rewritten as 1. Slices are paired by name where names agree (MR in phase, T2), else in
order of names, as the organisers say; out-of-phase slices share the in-phase mask. Splits are 80/10/10 by patient.

Differs from the paper: it has "a separate held-out test set" and does not say which patients. Its code cuts a centre
square and resizes; here the files keep their size and the bundle resizes. The reader scales every slice by its own 0.5
and 99.5 % quantiles. Slices without liver are left out of training and validation unless ``--slices all`` is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from dsfedmed.data.datasets.pictures import grey_of, png
from dsfedmed.data.datasets.plan import Pair, Recipe, RecipeOptions, Sample, SitePlan, as_is, plain_name, unlabelled
from dsfedmed.data.datasets.source import Member, Source

LIVER_MR = (55, 70)
# Series of a site: folder of the images below the patient's, folder of the masks, short name.
SERIES = {
    "CT": (("DICOM_anon", "Ground", "ct"),),
    "MR": (
        ("T1DUAL/DICOM_anon/InPhase", "T1DUAL/Ground", "t1in"),
        ("T1DUAL/DICOM_anon/OutPhase", "T1DUAL/Ground", "t1out"),
        ("T2SPIR/DICOM_anon", "T2SPIR/Ground", "t2"),
    ),
}


def liver_of(grey: np.ndarray) -> np.ndarray:
    """Return 1 where an MR mask shows the liver."""
    return ((grey >= LIVER_MR[0]) & (grey <= LIVER_MR[1])).astype(np.uint8)


def pair_slices(images: Mapping[str, Member], masks: Mapping[str, Member]) -> list[tuple[str, Member, Member | None]]:
    """Pair the slices of one series: by name when the names are the same, else in order when the counts are.

    A series that fits in neither way has no mask for any of its slices.
    """
    if set(images) == set(masks):
        return [(name, image, masks[name]) for name, image in images.items()]
    if len(images) == len(masks):
        return [(name, image, mask) for (name, image), mask in zip(images.items(), masks.values(), strict=True)]
    return [(name, image, None) for name, image in images.items()]


def _make_mr(source: Source, image: Member, mask: Member, stem: str) -> list[Pair]:
    return [Pair(stem, image, png(liver_of(grey_of(source, mask))))]


def _sample(site: str, stem: str, case: str, image: Member, mask: Member | None) -> Sample:
    if mask is None:
        return unlabelled(image, stem, case, "of its slice (masks and slices of the series differ in number)")
    if site == "CT":
        return as_is(image, mask, stem, case)
    return Sample(stem, case, (image, mask), partial(_make_mr, image=image, mask=mask, stem=stem))


def _by_patient(source: Source, pattern: str) -> dict[str, dict[str, Member]]:
    patients: dict[str, dict[str, Member]] = {}
    for (patient, name), member in source.index(pattern).items():
        patients.setdefault(patient, {})[name] = member
    return patients


def _plan(source: Source, wanted: Sequence[str], options: RecipeOptions) -> list[SitePlan]:
    del options  # "slices" is applied where the files are written
    plans = []
    for site in wanted:
        samples: list[Sample] = []
        for folder, ground, series in SERIES[site]:
            images = _by_patient(source, rf"(?:^|/)Train_Sets/{site}/(\d+)/{folder}/([^/]+)\.dcm$")
            masks = _by_patient(source, rf"(?:^|/)Train_Sets/{site}/(\d+)/{ground}/([^/]+)\.png$")
            if not images:
                raise source.missing(f"Train_Sets/{site}/*/{folder}/*.dcm", CHAOS.homepage)
            for patient, slices in images.items():
                case = f"{site}-{patient}"
                for name, image, mask in pair_slices(slices, masks.get(patient, {})):
                    samples.append(_sample(site, plain_name(f"{patient}_{series}_{name}"), case, image, mask))
        label_map = {255: 1} if site == "CT" else {}
        plans.append(
            SitePlan(site, CHAOS.sites[site], site, CHAOS.classes, tuple(samples), label_map, 1, single_slices=True)
        )
    return plans


CHAOS = Recipe(
    name="chaos",
    title="liver in CT and MRI",
    classes=("liver",),
    sites={"CT": "20 patients, some 90 slices or more each", "MR": "20 patients, 3 series each"},
    homepage="https://zenodo.org/records/3431873",
    licence="CC BY-SA 4.0",
    citation="Kavur et al., CHAOS Challenge, Medical Image Analysis 69, 2021",
    about=__doc__ or "",
    plan=_plan,
)
