# SPDX-License-Identifier: Apache-2.0
"""Reads one file in every way the product does, and says what that comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsfedmed.data.datalist import parse_datalist
from dsfedmed.data.files.raw import Raw
from dsfedmed.data.files.read import place_of, probe, read_raw
from dsfedmed.data.files.values import scaled, windows
from dsfedmed.data.masks.decode import decode, foreign_value
from dsfedmed.data.masks.rule import MaskRule
from dsfedmed.errors import DataError

READ, REFUSED = "read", "refused"
FAULTS = TRACEBACK, MISREAD, HANG, CRASH, MEMORY = "traceback", "misread", "hang", "crash", "memory"
OUTCOMES = (READ, REFUSED, *FAULTS)
MOST_TEXT = 300


@dataclass(frozen=True)
class Outcome:
    """What a reading came to, one of ``OUTCOMES``, and the words of its error or refusal."""

    kind: str
    text: str = ""


def try_image(path: Path, whole: Path | None = None) -> Outcome:
    """Read one file or series as image and as label; the worst of all ways, "read" where the image can be used.

    Args:
        path: of the damaged file or series.
        whole: the valid one, where the damage may only lead to a refusal or to the same pixels.
    """
    raws: dict[str, Raw] = {}
    steps: dict[str, Callable[[], None]] = {
        "image": lambda: _as_image(path, raws),
        "probe": lambda: _probed(path, raws),
        "place": lambda: _placed(path, raws),
        "label": lambda: raws.update(label=read_raw(path, label=True)),
        "one class": lambda: _as_label(raws, 1),
        "two classes": lambda: _as_label(raws, 2),
    }
    found = {name: outcome_of(path, step) for name, step in steps.items()}
    for name, outcome in found.items():
        if outcome.kind in FAULTS:
            return Outcome(outcome.kind, f"{name}: {outcome.text}")
    if whole is not None:
        for name, raw in raws.items():
            if not np.array_equal(read_raw(whole, label=name == "label").array, raw.array):
                return Outcome(MISREAD, f"{name}: other pixels, or fewer, without a refusal")
    return found["image"]


def try_datalist(folder: Path) -> Outcome:
    """Read a site's datalist; every problem that is found has to be a proper refusal."""
    problems: list[DataError] = []

    def step() -> None:
        problems.extend(parse_datalist(folder)[1])

    outcome = outcome_of(folder, step)
    for problem in problems:
        fault = fault_of(folder, problem)
        if fault:
            return Outcome(TRACEBACK, fault)
        outcome = Outcome(REFUSED, str(problem)[:MOST_TEXT])
    return outcome


def outcome_of(path: Path, step: Callable[[], None]) -> Outcome:
    """Run one step; a refusal that is not one line with file, reason and fix is a traceback."""
    try:
        step()
    except DataError as error:
        fault = fault_of(path, error)
        if fault:
            return Outcome(TRACEBACK, fault)
        return Outcome(MEMORY if isinstance(error.__cause__, MemoryError) else REFUSED, str(error)[:MOST_TEXT])
    except MemoryError as error:
        return Outcome(MEMORY, f"MemoryError: {error}"[:MOST_TEXT])
    except Exception as error:  # that is what is looked for
        return Outcome(TRACEBACK, f"{type(error).__name__}: {error} ({_line_of(error)})"[:MOST_TEXT])
    return Outcome(READ)


def fault_of(path: Path, error: DataError) -> str:
    """Return what is wrong with a refusal; empty for one that names the file, the reason and a fix."""
    text = str(error)
    if path.name not in error.where:
        return f"the refusal does not name {path.name}: {text}"[:MOST_TEXT]
    if not error.reason.strip() or not error.fix.strip():
        return f"the refusal has no reason or no fix: {text}"[:MOST_TEXT]
    return ""


def _as_image(path: Path, raws: dict[str, Raw]) -> None:
    raw = read_raw(path)
    window = windows(raw)
    count = raw.slices or 1
    for index in sorted({0, count // 2, count - 1}):
        plane = scaled(raw.array[:, :, index] if raw.volume else raw.array, window)
        if not (np.isfinite(plane).all() and plane.min() >= 0 and plane.max() <= 1):
            raise ArithmeticError("a picture that was read leaves [0, 1]")
    raws["image"] = raw


def _probed(path: Path, raws: dict[str, Raw]) -> None:
    told = probe(path)
    raw = raws.get("image")
    if raw is not None and (told.size, told.slices) != (raw.size, raw.slices):
        raise ArithmeticError(f"the header says {told.size}, {told.slices}, and {raw.size}, {raw.slices} was read")


def _placed(path: Path, raws: dict[str, Raw]) -> None:
    place, raw = place_of(path), raws.get("image")
    if place is not None and raw is not None and not np.allclose(place.affine, raw.affine):
        raise ArithmeticError("its place is another one when its numbers are read")


def _as_label(raws: dict[str, Raw], classes: int) -> None:
    if "label" in raws:
        array = decode(raws["label"], num_classes=classes)
        foreign_value(raws["label"], MaskRule(), classes, {})
        if array.dtype != np.uint8 or array.shape[-1] != 1:
            raise ArithmeticError(f"a label that was read is {array.dtype}, {array.shape}")


def _line_of(error: Exception) -> str:
    """Return file and line where an exception was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
