# SPDX-License-Identifier: Apache-2.0
"""Nuclei in H&E-stained tissue, three data sets as three sites (``nuclei``).

Get it:
- MoNuSeg 2018, https://monuseg.grand-challenge.org/Data: ``MoNuSeg 2018 Training Data`` (``Tissue Images/*.tif``,
  ``Annotations/*.xml``) and ``MoNuSegTestData`` (``*.tif``, ``*.xml``); CC BY-NC-SA 4.0.
- MoNuSAC 2020, https://monusac-2020.grand-challenge.org/Data: ``MoNuSAC_images_and_annotations`` and ``MoNuSAC Testing
  Data and Annotations``, a folder per patient with ``*.tif`` (the same as ``*.svs``) and ``*.xml``; CC BY-NC-SA 4.0.
- TNBC, https://zenodo.org/records/1175282: ``Slide_01..11/*.png`` and ``GT_01..11/*.png``; CC BY 4.0. Slides beyond 11,
  which later versions add from brain tumours, are left out.
Put the archives, or what is in them, into one folder and name that; ``--only tnbc`` makes one site of a part of it.

Makes: one class, nucleus of any kind. Outlines are filled (MoNuSAC's regions named "Ambiguous" are not: they mark areas
where nuclei could not be told apart); TNBC masks count every value above 0. Pictures larger than ``--tile`` (512 px)
are cut into equal tiles that do not overlap, 1000 x 1000 into four of 500 x 500, written as PNG; smaller ones are taken
as they are. Official tests stay tests. A TCGA patient (the first 12 characters of a name) stays in one part, and a
patient who stands in MoNuSeg as well is left out of MoNuSAC, so that an unseen site is unseen.

Differs from the paper: its code resizes whole pictures, thresholds ready-made masks (MoNuSeg at 100, TNBC above 0),
and calls the sites MoNuSAC2018 (MoNuSeg), MoNuSAC2020 and TNBC; the paper's text names PanNuke too, which its code does
not have. It reads the whole of the site it leaves out: ``--unseen SITE`` does that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from dsfedmed.data.datasets.pictures import grey_of, open_picture, png
from dsfedmed.data.datasets.plan import Pair, Recipe, RecipeOptions, Sample, SitePlan, plain_name, unlabelled
from dsfedmed.data.datasets.polygons import rasterise, read_polygons
from dsfedmed.data.datasets.source import Member, Source
from dsfedmed.data.datasets.tiles import tile_boxes
from dsfedmed.data.files.kinds import PICTURES
from dsfedmed.errors import DataError

PATIENT = re.compile(r"TCGA-\w{2}-\w{4}")
AMBIGUOUS = "Ambiguous"
TNBC_SLIDES = 11
MONUSEG = r"(?:^|/)MoNuSeg[^/]*(Train|Test)[^/]*/(?:.*/)?([^/]+)\.{}$"
MONUSAC = r"(?:^|/)MoNuSAC[ _+]*(images|Testing)[^/]*/(?:.*/)?([^/]+)\.{}$"
TNBC = r"(?:^|/){}_(\d+)/([^/]+)\.png$"

Mask = Callable[[Source, int, int], np.ndarray]


def _filled(source: Source, rows: int, columns: int, annotation: Member) -> np.ndarray:
    polygons = [shape for shape in read_polygons(source.read(annotation), annotation.where) if shape.layer != AMBIGUOUS]
    return rasterise(polygons, rows, columns)


def _painted(source: Source, rows: int, columns: int, mask: Member) -> np.ndarray:
    grey = grey_of(source, mask)
    if grey.shape != (rows, columns):
        raise DataError(mask.where, f"it is {grey.shape} and its image {(rows, columns)}", "Download both again.")
    return (grey > 0).astype(np.uint8)


def _make(source: Source, image: Member, mask: Mask, stem: str, tile_px: int) -> list[Pair]:
    picture = open_picture(source, image)
    label = mask(source, picture.height, picture.width)
    boxes = tile_boxes(picture.width, picture.height, tile_px)
    if len(boxes) == 1 and image.suffix in PICTURES:
        return [Pair(stem, image, png(label))]
    colours = np.asarray(picture.convert("RGB"))
    pairs = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        tile = (slice(top, bottom), slice(left, right))
        pairs.append(Pair(f"{stem}_tile{number:02d}", png(colours[tile]), png(label[tile])))
    return pairs


def _tcga(source: Source, pattern: str, official_test: str, tile_px: int) -> list[Sample]:
    """Pair pictures and annotations of the two TCGA collections; TIFF is preferred to the same picture as SVS."""
    annotations = source.index(pattern.format("xml"))
    images = source.index(pattern.format("svs")) | source.index(pattern.format("tif"))
    samples = []
    for key, image in images.items():
        where, name = key
        stem, patient = plain_name(name), PATIENT.match(name)
        case = patient.group(0) if patient else name
        if key not in annotations:
            samples.append(unlabelled(image, stem, case, f"{name}.xml"))
            continue
        mask = partial(_filled, annotation=annotations[key])
        make = partial(_make, image=image, mask=mask, stem=stem, tile_px=tile_px)
        official = "test" if where == official_test else None
        samples.append(Sample(stem, case, (image, annotations[key]), make, official))
    return samples


def _tnbc(source: Source, tile_px: int) -> list[Sample]:
    masks = source.index(TNBC.format("GT"))
    samples = []
    for key, image in source.index(TNBC.format("Slide")).items():
        slide, name = key
        if int(slide) > TNBC_SLIDES:
            continue
        stem, case = plain_name(f"slide{slide}_{name}"), f"slide{slide}"
        if key not in masks:
            samples.append(unlabelled(image, stem, case, f"GT_{slide}/{name}.png"))
            continue
        make = partial(_make, image=image, mask=partial(_painted, mask=masks[key]), stem=stem, tile_px=tile_px)
        samples.append(Sample(stem, case, (image, masks[key]), make))
    return samples


def _plan(source: Source, wanted: Sequence[str], options: RecipeOptions) -> list[SitePlan]:
    found = {
        "monuseg": partial(_tcga, source, MONUSEG, "Test", options.tile_px),
        "monusac": partial(_tcga, source, MONUSAC, "Testing", options.tile_px),
        "tnbc": partial(_tnbc, source, options.tile_px),
    }
    samples = {site: found[site]() for site in wanted}
    notes: dict[str, tuple[str, ...]] = {}
    for site in wanted:
        if not samples[site]:
            raise source.missing(f"{EXPECTED[site]} ({site})", NUCLEI.homepage)
    if {"monuseg", "monusac"} <= set(wanted):
        elsewhere = {sample.case for sample in samples["monuseg"]}
        both = sorted(elsewhere & {sample.case for sample in samples["monusac"]})
        samples["monusac"] = [sample for sample in samples["monusac"] if sample.case not in elsewhere]
        notes["monusac"] = tuple(f"{case} is left out: the patient is in monuseg" for case in both)
    return [
        SitePlan(
            site, NUCLEI.sites[site], "H&E histology", NUCLEI.classes, tuple(samples[site]), notes=notes.get(site, ())
        )
        for site in wanted
    ]


EXPECTED = {
    "monuseg": "MoNuSeg 2018 Training Data/Tissue Images/*.tif and Annotations/*.xml",
    "monusac": "MoNuSAC_images_and_annotations/*/*.tif and *.xml",
    "tnbc": "Slide_01/*.png and GT_01/*.png",
}

NUCLEI = Recipe(
    name="nuclei",
    title="nuclei in H&E-stained tissue",
    classes=("nucleus",),
    sites={
        "monuseg": "MoNuSeg 2018: 37 (first release 30) + 14 pictures of 1000 x 1000",
        "monusac": "MoNuSAC 2020: 209 + 85 pictures of 46 + 25 patients",
        "tnbc": "TNBC: 50 pictures of 512 x 512, 11 patients",
    },
    homepage="https://monuseg.grand-challenge.org, https://monusac-2020.grand-challenge.org and "
    "https://zenodo.org/records/1175282",
    licence="CC BY-NC-SA 4.0 (MoNuSeg, MoNuSAC), CC BY 4.0 (TNBC)",
    citation="Kumar et al., IEEE TMI 2017 and 2020; Verma et al., IEEE TMI 2021; Naylor et al., IEEE TMI 2019",
    about=__doc__ or "",
    plan=_plan,
)
