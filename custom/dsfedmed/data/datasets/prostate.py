# SPDX-License-Identifier: Apache-2.0
"""Prostate in T2-weighted MRI of six sites (``prostate``).

Get it: the multi-site release of Liu et al. (SAML, MICCAI 2020), https://liuquande.github.io/SAML, gathered from
NCI-ISBI 2013, I2CVB and PROMISE12. Layout: ``BIDMC, BMC, HK, I2CVB, RUNMC, UCL`` with ``Case00.nii.gz`` and
``Case00_segmentation.nii.gz`` (BMC: ``_Segmentation``). The DSFedMed code calls RUNMC "ISBI" and BMC "ISBI_1.5"; these
folder names are understood as well.

Licence: that of the three sources, for research.

Makes: six sites of volumes, one class; labels 1 and 2 (peripheral zone, central gland) are both prostate, by the
datalist's ``label_map``. Label files are taken as they are. Images are clipped from above at their volume's 99 %
quantile, in their own type and geometry, and read slice by slice.

Differs from the paper: its code maps [minimum, 99 % quantile] to 8 bit; here the reader's window goes from the 0.5 %
quantile (on MRI mostly the same background value) and keeps full precision. It takes every axial slice; here slices
without prostate are left out of training and validation unless ``--slices all`` is given, and the test part always has
every slice. Splits are 80/10/10 by patient; the paper reads the whole of the site it leaves out, and ``--unseen SITE``
does that.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Sequence
from functools import partial

import nibabel
import numpy as np

from dsfedmed.data.datasets.plan import Encoded, Pair, Recipe, RecipeOptions, Sample, SitePlan, plain_name, unlabelled
from dsfedmed.data.datasets.source import MAX_BYTES, Member, Source
from dsfedmed.errors import DataError

FOLDERS = {
    "BIDMC": "BIDMC",
    "BMC": "BMC|ISBI_1\\.5",
    "HK": "HK",
    "I2CVB": "I2CVB",
    "RUNMC": "RUNMC|ISBI",
    "UCL": "UCL",
}
LABEL = re.compile(r"_seg(mentation)?$", re.IGNORECASE)
QUANTILE = 0.99


def clip_volume(content: bytes, suffix: str, quantile: float = QUANTILE) -> Encoded:
    """Clip a NIfTI file's values from above at a quantile of the whole volume; affine and number type stay.

    Args:
        content: the file, gzip-compressed when ``suffix`` is ".nii.gz".
        suffix: ".nii" or ".nii.gz".
        quantile: in (0, 1].

    Returns:
        A ``.nii.gz`` file. Scaled files (slope other than 1) become float32.
    """
    volume = nibabel.Nifti1Image.from_bytes(_unpacked(content) if suffix == ".nii.gz" else content)
    data = np.asanyarray(volume.dataobj)
    if data.dtype == np.float64:
        data = data.astype(np.float32)
    limit = np.quantile(data, quantile)
    clipped = np.minimum(data, np.floor(limit).astype(data.dtype) if data.dtype.kind in "iu" else limit)
    result = nibabel.Nifti1Image(clipped.astype(data.dtype), volume.affine, volume.header)
    result.header.set_data_dtype(data.dtype)
    result.header.set_slope_inter(1.0, 0.0)
    return Encoded(gzip.compress(result.to_bytes(), mtime=0), ".nii.gz")


def _unpacked(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        found = file.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
    return found


def _make(source: Source, image: Member, label: Member, stem: str) -> list[Pair]:
    content = source.read(image)
    try:
        clipped = clip_volume(content, image.suffix)
    # nibabel raises whatever it likes on damaged files.
    except Exception as error:
        raise DataError(image.where, f"it cannot be decoded ({error})", "Download it again.") from error
    return [Pair(stem, clipped, label)]


def _samples(source: Source, site: str) -> list[Sample]:
    files = source.index(rf"(?:^|/)(?:{FOLDERS[site]})/([^/]+)\.nii(?:\.gz)?$")
    labels = {LABEL.sub("", name): member for (name,), member in files.items() if LABEL.search(name)}
    samples = []
    for (name,), image in files.items():
        if LABEL.search(name):
            continue
        stem = plain_name(name)
        if name not in labels:
            samples.append(unlabelled(image, stem, name, f"{name}_segmentation.nii.gz"))
            continue
        make = partial(_make, image=image, label=labels[name], stem=stem)
        samples.append(Sample(stem, name, (image, labels[name]), make))
    return samples


def _plan(source: Source, wanted: Sequence[str], options: RecipeOptions) -> list[SitePlan]:
    plans = []
    for site in wanted:
        samples = _samples(source, site)
        if not samples:
            raise source.missing(f"{site}/Case*.nii.gz", PROSTATE.homepage)
        about = f"T2-weighted prostate MRI, {PROSTATE.sites[site]}"
        plan = SitePlan(site, about, "MRI T2", ("prostate",), tuple(samples), {2: 1}, channels=1, slices=options.slices)
        plans.append(plan)
    return plans


PROSTATE = Recipe(
    name="prostate",
    title="prostate in T2-weighted MRI",
    classes=("prostate",),
    sites={
        "BIDMC": "12 cases, 3 T (PROMISE12)",
        "BMC": "30 cases, 1.5 T (NCI-ISBI 2013)",
        "HK": "12 cases, 1.5 T (PROMISE12)",
        "I2CVB": "19 cases, 3 T (I2CVB)",
        "RUNMC": "30 cases, 3 T (NCI-ISBI 2013)",
        "UCL": "13 cases, 1.5 and 3 T (PROMISE12)",
    },
    homepage="https://liuquande.github.io/SAML",
    licence="for research, as NCI-ISBI 2013, I2CVB and PROMISE12",
    citation="Liu et al., MICCAI 2020 (SAML); Bloch et al. 2015; Lemaitre et al. 2015; Litjens et al. 2014",
    about=__doc__ or "",
    plan=_plan,
)
