# SPDX-License-Identifier: Apache-2.0
"""A site's images as the site itself looks at them: no setting of a job, and no bundle, has a part in it."""

from __future__ import annotations

from monai.transforms import Compose, Resized
from torch import Tensor

from dsfedmed.data.arrays import load_images
from dsfedmed.data.channels import usable_channels
from dsfedmed.data.datalist import SiteDatalist
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import PayloadError

SIDE = 64


def own_look(datalist: SiteDatalist, part: str, channels: int) -> Tensor:
    """Return a part's images float32 (N, C, 64, 64) in [0, 1], read by the datalist alone (its window, its channels).

    Args:
        datalist: the site.
        part: "training", "validation" or "test".
        channels: C, of the images to compare with; grey and RGB become each other.

    Raises:
        PayloadError: images of so many channels cannot come from this site's.
        DataError: as `dsfedmed.data.arrays.load_images`.
    """
    own = datalist.channels or 1
    if channels != own and not {channels, own} <= {1, 3}:
        reason = f"the synthetic set has {channels} channels and the site's images have {own}"
        raise PayloadError(datalist.name, reason, "Leave the site out, or make the set from images of these channels")
    if not usable_channels(channels):
        raise PayloadError(
            datalist.name, f"a synthetic set of {channels} channels", "Use 1 (grey), 3 (RGB) or up to 16"
        )
    size = Resized("image", spatial_size=(SIDE, SIDE), mode="bilinear", anti_aliasing=True)
    return load_images(datalist, part, Compose([LoadSiteImaged(keys="image", channels=channels), size]))
