# SPDX-License-Identifier: Apache-2.0
"""Tiny made-up downloads in the official layouts, and what every test of a recipe asks of the sites made of them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

from dsfedmed.data.checks import check_site
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.data.datasets.build import make_sites
from dsfedmed.data.datasets.plan import RecipeOptions
from dsfedmed.data.datasets.registry import RECIPES
from tests.data.conftest import write_image

RNG = np.random.default_rng(0)


def picture(rows: int = 12, columns: int = 16, colours: int = 3) -> np.ndarray:
    """A noisy picture."""
    return RNG.integers(1, 256, (rows, columns, colours) if colours == 3 else (rows, columns), dtype=np.uint8)


def block(value: int, rows: int = 12, columns: int = 16, dtype: Any = np.uint8) -> np.ndarray:
    """A mask with an off-centre block of 4 x 6 pixels."""
    mask = np.zeros((rows, columns), dtype=dtype)
    mask[3:7, 5:11] = value
    return mask


def fundus(root: Path, train: int = 10, test: int = 2) -> Path:
    """Four domains; domain 2 has both eyes of every patient, and patient 1 stands in train and in test."""
    grey = np.full((12, 16), 255, np.uint8)
    grey[2:10, 3:13], grey[4:7, 5:9] = 128, 0
    for domain, kind in (("1", "gdrishtiGS_{:03d}"), ("3", "g{:04d}"), ("4", "V{:04d}")):
        for part, numbers in (("train", range(train)), ("test", range(train, train + test))):
            for number in numbers:
                name = f"Domain{domain}/{part}/ROIs/{{}}/{kind.format(number)}.png"
                write_image(root / name.format("image"), picture())
                # Some of the release's masks are stored as RGB.
                write_image(root / name.format("mask"), np.stack([grey] * 3, -1) if domain == "3" else grey)
    for number in range(1, 1 + train // 2):
        for eye in "LR":
            part = "test" if (number, eye) == (1, "R") else "train"
            write_image(root / f"Domain2/{part}/ROIs/image/G-{number}-{eye}.png", picture())
            write_image(root / f"Domain2/{part}/ROIs/mask/G-{number}-{eye}.png", grey)
    return root


def prostate(root: Path, cases: int = 5) -> Path:
    """Six sites of 4-slice volumes with two zones in slices 1 and 2; folders as in both releases."""
    for site in ("BIDMC", "ISBI_1.5", "HK", "I2CVB", "RUNMC", "UCL"):
        for case in range(cases):
            volume = RNG.integers(0, 200, (10, 8, 4)).astype(np.int16)
            volume[0, 0, 0] = 30000
            label = np.zeros((10, 8, 4), np.uint8)
            label[2:5, 2:6, 1:3], label[5:7, 2:6, 1:3] = 1, 2
            suffix = "_Segmentation" if site == "ISBI_1.5" else "_segmentation"
            for name, array in ((f"Case{case:02d}", volume), (f"Case{case:02d}{suffix}", label)):
                (root / site).mkdir(parents=True, exist_ok=True)
                nibabel.save(nibabel.Nifti1Image(array, np.diag([0.5, 0.5, 3.0, 1.0])), root / site / f"{name}.nii.gz")
    return root


def outlines(*layers: tuple[str, list[tuple[float, float]]]) -> str:
    """An ImageScope document with one region per layer."""
    body = ""
    for name, points in layers:
        vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
        body += (
            f'<Annotation Id="1"><Attributes><Attribute Name="{name}" Id="0" Value=""/></Attributes>'
            f'<Regions><Region Id="1"><Vertices>{vertices}</Vertices></Region></Regions></Annotation>'
        )
    return f'<?xml version="1.0"?>\n<Annotations MicronsPerPixel="0.25">{body}</Annotations>'


NUCLEUS = [(5.0, 3.0), (11.0, 3.0), (11.0, 7.0), (5.0, 7.0)]  # the same pixels as block()


def nuclei(root: Path, patients: int = 4) -> Path:
    """MoNuSeg (100 x 100 px), MoNuSAC (small, one patient shared with MoNuSeg) and TNBC; 4 + 1 patients each."""
    content = outlines(("", NUCLEUS))
    for number in range(patients):
        base = root / "MoNuSeg 2018 Training Data"
        name = f"TCGA-18-000{number}-01Z-00-DX1"
        write_image(base / f"Tissue Images/{name}.tif", picture(100, 100))
        (base / "Annotations").mkdir(exist_ok=True)
        (base / f"Annotations/{name}.xml").write_text(content)
    write_image(root / "MoNuSegTestData/TCGA-2Z-A9J9-01A-01-TS1.tif", picture(100, 100))
    (root / "MoNuSegTestData/TCGA-2Z-A9J9-01A-01-TS1.xml").write_text(content)
    content = outlines(("Epithelial", NUCLEUS), ("Ambiguous", [(0, 0), (4, 0), (4, 2), (0, 2)]))
    names = [f"TCGA-5P-000{number}-01Z-00-DX1" for number in range(patients)] + ["TCGA-18-0000-01Z-00-DX1"]
    for name in names:
        for number in (1, 2):
            stem = root / f"MoNuSAC_images_and_annotations/{name}/{name}_{number}"
            write_image(stem.with_suffix(".tif"), picture(12, 16))
            Image.open(stem.with_suffix(".tif")).save(stem.with_suffix(".svs"), format="TIFF")
            stem.with_suffix(".xml").write_text(content)
    stem = root / "MoNuSAC Testing Data and Annotations/TCGA-A2-1111-01Z-00-DX1/TCGA-A2-1111-01Z-00-DX1_1"
    stem.parent.mkdir(parents=True)
    Image.fromarray(picture(12, 16)).save(stem.with_suffix(".svs"), format="TIFF")  # as SVS only
    stem.with_suffix(".xml").write_text(content)
    for slide in range(1, 1 + patients):
        for number in (1, 2):
            write_image(root / f"TNBC/Slide_{slide:02d}/{slide:02d}_{number}.png", picture(colours=3))
            write_image(root / f"TNBC/GT_{slide:02d}/{slide:02d}_{number}.png", block(77))
    write_image(root / "TNBC/Slide_12/12_1.png", picture())
    write_image(root / "TNBC/GT_12/12_1.png", block(255))
    return root


SKIN = {"dark": (90, 60, 45), "medium": (190, 140, 115), "light": (240, 215, 200)}


def isic(root: Path, each: int = 5) -> Path:
    """``each`` training pictures of three skin tones in turn, and two held-out ones per phase; superpixels beside."""
    number = 0

    def write(phase: str, tone: str) -> None:
        nonlocal number
        name = f"ISIC_{number:07d}"
        number += 1
        image = np.empty((48, 64, 3), np.uint8)
        image[:] = SKIN[tone]
        mask = np.zeros((48, 64), np.uint8)
        mask[16:32, 20:44] = 255
        image[mask > 0] = (60, 30, 20)
        write_image(root / f"ISIC-2017_{phase}_Data/{name}.jpg", image)
        write_image(root / f"ISIC-2017_{phase}_Data/{name}_superpixels.png", image)
        write_image(root / f"ISIC-2017_{phase}_Part1_GroundTruth/{name}_segmentation.png", mask)

    for _ in range(each):
        for tone in SKIN:
            write("Training", tone)
    for phase in ("Validation", "Test_v2"):
        write(phase, "light")
        write(phase, "dark")
    return root


def chaos(root: Path, patients: int = 5) -> Path:
    """CT with 3 slices a patient and MR with 2 slices in three series; the first slice of each shows no liver."""
    for patient in range(1, 1 + patients):
        for z in range(3):
            base = root / f"Train_Sets/CT/{patient}"
            write_image(base / f"DICOM_anon/i{z:04d},0000b.dcm", _grey16())
            write_image(base / f"Ground/liver_GT_{z:03d}.png", block(255 if z else 0))
        for z in range(2):
            base = root / f"Train_Sets/MR/{patient + 40}"
            organs = block(63 if z else 0)
            organs[0:2, 0:2] = 126
            write_image(base / f"T1DUAL/DICOM_anon/InPhase/IMG-0004-{2 * z + 2:05d}.dcm", _grey16())
            write_image(base / f"T1DUAL/DICOM_anon/OutPhase/IMG-0004-{2 * z + 1:05d}.dcm", _grey16())
            write_image(base / f"T1DUAL/Ground/IMG-0004-{2 * z + 2:05d}.png", organs)
            write_image(base / f"T2SPIR/DICOM_anon/IMG-0002-{z + 1:05d}.dcm", _grey16())
            write_image(base / f"T2SPIR/Ground/IMG-0002-{z + 1:05d}.png", organs)
    return root


def _grey16() -> np.ndarray:
    return RNG.integers(0, 2000, (12, 16)).astype(np.uint16)


def zipped(folder: Path, archive: Path) -> Path:
    """Pack a folder's content."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
        for file in sorted(folder.rglob("*")):
            stream.write(file, file.relative_to(folder).as_posix())
    return archive


def made(name: str, download: Path, out: Path, **options: Any) -> dict[str, SiteDatalist]:
    """Make a recipe's sites and check what holds for all of them: no errors, and no case in two parts."""
    sites = make_sites(RECIPES[name], download, out, RecipeOptions(**options))
    datalists = {}
    for site in sites:
        assert [finding for finding in check_site(site.folder) if finding.level == "error"] == []
        datalist = datalists[site.folder.name] = load_datalist(site.folder)
        cases = [{item.case for item in items} for items in datalist.parts.values()]
        assert sum(len(found) for found in cases) == len(set().union(*cases))
    assert not list(out.glob(".*"))
    return datalists


def counts(datalist: SiteDatalist) -> tuple[int, ...]:
    """Images (slices) per part."""
    return tuple(len(items) for items in datalist.parts.values())
