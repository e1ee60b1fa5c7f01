# SPDX-License-Identifier: Apache-2.0
"""All valid files, in an order that does not change: a damaged file is known by its number."""

from __future__ import annotations

import functools

from dsfedmed_benchmarks.fuzz.arrays import array_seeds
from dsfedmed_benchmarks.fuzz.dicoms import dicom_seeds
from dsfedmed_benchmarks.fuzz.pictures import picture_seeds
from dsfedmed_benchmarks.fuzz.seed import Seed
from dsfedmed_benchmarks.fuzz.sites import site_seeds
from dsfedmed_benchmarks.fuzz.tiffs import tiff_seeds


@functools.cache
def all_seeds() -> tuple[Seed, ...]:
    """Return the seeds of every format and of datalists."""
    return (*picture_seeds(), *tiff_seeds(), *array_seeds(), *dicom_seeds(), *site_seeds())
