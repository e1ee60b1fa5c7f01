# SPDX-License-Identifier: Apache-2.0
"""A finished run of which every message that left a site is kept, and what no such message may hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

RUN_OF_BYTES = 48
"""A copied row of pixels is at least this long; by chance two such runs never agree."""


@dataclass(frozen=True)
class Recording:
    """What left each site, the run folder, and what the command printed where there was one."""

    folder: Path
    run: Path
    sites: Path
    output: str = ""

    def bodies(self, site: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.folder / site).glob("*.body"))]

    def heads(self, site: str) -> str:
        return "\n".join(path.read_text() for path in sorted((self.folder / site).glob("*.head")))

    def tensors(self, site: str, task: str) -> list[dict[str, Tensor]]:
        return [torch.load(path, weights_only=True) for path in sorted((self.folder / site).glob(f"*-{task}.pt"))]


def rows(picture: np.ndarray) -> list[bytes]:
    """Runs of bytes from the middle of a picture that are no constant background."""
    raw = picture.tobytes()
    starts = range(len(raw) // 4, 3 * len(raw) // 4, max(len(raw) // 16, 1))
    runs = [raw[start : start + RUN_OF_BYTES] for start in starts]
    return [run for run in runs if len(set(run)) > 8]


def stored_rows(site: Path) -> list[bytes]:
    """Runs of bytes of every image of a site folder, as file and as pixels in three number formats."""
    files = sorted((site / "images").iterdir())
    pixels = [np.asarray(Image.open(path)) for path in files]
    pictures = [np.frombuffer(path.read_bytes(), np.uint8) for path in files] + pixels
    pictures += [(picture / 255).astype(kind) for picture in pixels for kind in (np.float32, np.float16)]
    return [run for picture in pictures for run in rows(picture)]


def assert_no_pixels(recording: Recording, site: str) -> None:
    """See that no row of pixels of a site's images is in what left it."""
    looked_for = stored_rows(recording.sites / site)
    assert len(looked_for) > 100
    bodies = b"\0".join(recording.bodies(site))
    assert not any(run in bodies for run in looked_for)
