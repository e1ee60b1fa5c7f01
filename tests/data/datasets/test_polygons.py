# SPDX-License-Identifier: Apache-2.0
"""Outlines: reading XML safely, filling polygons by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.data.datasets.polygons import Polygon, rasterise, read_polygons
from dsfedmed.errors import DataError
from tests.data.datasets.layouts import outlines


def test_layers_and_vertices() -> None:
    content = outlines(("Epithelial", [(0, 1), (2.5, 3)]), ("Ambiguous", [(4, 4)])).encode()
    assert read_polygons(content, "x.xml") == [
        Polygon("Epithelial", [(0.0, 1.0), (2.5, 3.0)]),
        Polygon("Ambiguous", [(4.0, 4.0)]),
    ]
    assert read_polygons(b"<Annotations/>", "x.xml") == []


def test_a_pixel_is_inside_when_its_centre_is() -> None:
    triangle = Polygon("", [(1.0, 1.0), (5.0, 1.0), (1.0, 5.0)])
    expected = [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    near = Polygon("", [(x - 0.01, y - 0.01) for x, y in triangle.points])  # off the centres that lie on the edge
    assert rasterise([near], 5, 6).tolist() == expected
    line = Polygon("", [(0.0, 0.0), (5.0, 5.0)])
    assert rasterise([line], 5, 6).sum() == 0


@given(
    st.integers(-5, 12),
    st.integers(-5, 12),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 10),
    st.integers(1, 10),
)
def test_rectangles_are_cut_at_the_picture(x: int, y: int, w: int, h: int, rows: int, columns: int) -> None:
    box = Polygon("", [(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
    wide = max(0, min(x + w, columns) - max(x, 0))
    high = max(0, min(y + h, rows) - max(y, 0))
    assert int(rasterise([box], rows, columns).sum()) == wide * high


@pytest.mark.parametrize("head", ['<!DOCTYPE a [<!ENTITY e "x">]>', "<!DOCTYPE a SYSTEM '{}'>"])
def test_declarations_are_refused(head: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.dtd"
    secret.write_text("<!ENTITY e 'x'>")
    content = f'<?xml version="1.0"?>{head.format(secret.as_uri())}<Annotations/>'
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(DataError, match=r"x\.xml.*document type"):
            read_polygons(content.encode(encoding), "x.xml")


@pytest.mark.parametrize(
    "content", [b"", b"<Annotations>", b'<Region><Vertex X="1"/></Region>', b'<Vertex X="1" Y="2"/>', b"\x00\x01"]
)
def test_damage_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"x\.xml.*not a usable annotation"):
        read_polygons(content, "x.xml")
