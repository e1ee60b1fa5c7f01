# SPDX-License-Identifier: Apache-2.0
"""Large pictures are written in the true format, and measured in a process of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile

from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.performance.slides import KINDS, SlideOptions, read, run, write_pyramid

SMALL = SlideOptions(width=3000, height=2500, side=32)


def test_a_slide_is_a_pyramid_in_tiles(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "slide.tif", SMALL)
    with tifffile.TiffFile(tmp_path / "slide.tif") as slide:
        levels = slide.series[0].levels
        assert [level.shape[:2] for level in levels] == [(2500, 3000), (1250, 1500), (625, 750)]
        assert all(level.keyframe.is_tiled for level in levels)


def test_reading_is_measured_above_the_start(tmp_path: Path) -> None:
    file, write = KINDS["JPEG"]
    write(tmp_path / file, SMALL)
    peak, seconds = read(tmp_path / file, SMALL)
    assert 1 < peak < 400  # 22 MiB as stored, and a few copies as float32
    assert seconds > 0


@pytest.mark.slow
def test_every_kind_is_a_row() -> None:
    table = run(SMALL)
    assert [row[0] for row in table.rows] == list(KINDS)
    assert all(0 < row[3] < row[4] for row in table.rows)


def test_sizes_below_a_tile_are_refused() -> None:
    with pytest.raises(ConfigError, match="run from 256"):
        SlideOptions(width=100)
