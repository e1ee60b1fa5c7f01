# SPDX-License-Identifier: Apache-2.0
"""Outlines in ImageScope XML, as MoNuSeg and MoNuSAC have them, and masks made of them.

The XML is read by expat with declarations of any kind refused: without a document type there are no entities, so
neither a file of this machine nor an endless expansion can be pulled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

import numpy as np

from dsfedmed.errors import DataError


@dataclass
class Polygon:
    """One outlined region: its layer's name ("Epithelial"...; empty where none is given) and (x, y) in pixels."""

    layer: str
    points: list[tuple[float, float]] = field(default_factory=list)


def read_polygons(content: bytes, where: object) -> list[Polygon]:
    """Return the regions of an ``Annotations/Annotation/Regions/Region/Vertices/Vertex`` document, in its order.

    Args:
        content: the file.
        where: what errors name.

    Raises:
        DataError: when it is no XML, declares a document type, or a vertex has no numbers.
    """
    polygons: list[Polygon] = []
    layer = ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal layer
        if tag == "Annotation" or (tag == "Attribute" and not layer):
            layer = attributes.get("Name", "")
        elif tag == "Region":
            polygons.append(Polygon(layer))
        elif tag == "Vertex":
            polygons[-1].points.append((float(attributes["X"]), float(attributes["Y"])))

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, KeyError, IndexError) as error:
        reason = f"it is not a usable annotation ({error or type(error).__name__})"
        raise DataError(where, reason, "Download it again.") from error
    return polygons


def rasterise(polygons: Sequence[Polygon], rows: int, columns: int) -> np.ndarray:
    """Return the union of the polygons as (rows, columns) uint8 in {0, 1}.

    A pixel is inside when its centre is; pixel (0, 0) spans the coordinates 0 to 1. Regions of fewer than three
    vertices have no inside and are passed over; what lies outside the picture is cut off.
    """
    from matplotlib.path import Path as Outline  # of an extra: the list of data sets does without

    mask = np.zeros((rows, columns), dtype=np.uint8)
    for polygon in polygons:
        if len(polygon.points) < 3:
            continue
        points = np.asarray(polygon.points)
        left, top = np.clip(np.floor(points.min(axis=0)).astype(int), 0, (columns, rows))
        right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int), 0, (columns, rows))
        y, x = np.mgrid[top:bottom, left:right] + 0.5
        if x.size:
            inside = Outline(points).contains_points(np.column_stack([x.ravel(), y.ravel()]))
            mask[top:bottom, left:right] |= inside.reshape(x.shape)
    return mask
