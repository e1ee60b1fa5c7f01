# SPDX-License-Identifier: Apache-2.0
"""One packaged file as our readers see it: its slices in [0, 1], or the reason why it is refused."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dsfedmed.data.files.read import read_raw
from dsfedmed.data.files.values import scaled, windows
from dsfedmed.errors import DataError
from dsfedmed_benchmarks.corpora.packaged import Packaged
from dsfedmed_benchmarks.corpora.plain import likeness

READ, REFUSED, TRACEBACK = "read", "refused", "traceback"


@dataclass(frozen=True, eq=False)
class Reading:
    """What came of a file.

    outcome: "read", "refused" or "traceback". reason: of the last two. planes: first, middle and last slice, (X, Y, C)
    in [0, 1], by number. alike: correlation with the plain reading; None where there is none. plain_error: what the
    plain reading raised.
    """

    file: Packaged
    outcome: str
    reason: str = ""
    planes: dict[int, np.ndarray] = field(default_factory=dict)
    alike: float | None = None
    plain_error: str = ""


def read_packaged(file: Packaged) -> Reading:
    """Read a file as image and compare it with the plain reading."""
    try:
        raw = read_raw(file.path)
        window, count = windows(raw), raw.slices or 1
        planes = {
            number: scaled(raw.array[:, :, number] if raw.volume else raw.array, window)
            for number in sorted({0, count // 2, count - 1})
        }
    except DataError as error:
        return Reading(file, REFUSED, error.reason)
    except Exception as error:  # that is what is looked for
        return Reading(file, TRACEBACK, f"{type(error).__name__}: {error}")
    try:
        return Reading(file, READ, planes=planes, alike=likeness(raw, planes, file.kind))
    except Exception as error:  # the other library refuses what we read; said in the table
        return Reading(file, READ, planes=planes, plain_error=f"{type(error).__name__}: {error}")
