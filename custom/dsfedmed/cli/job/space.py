# SPDX-License-Identifier: Apache-2.0
"""Whether the disk has room for a run, from what its stages keep."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from dsfedmed.data.datalist import SiteDatalist, parse_datalist
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server.workflow import FederatedWorkflow

MINIMUM = 256 * 2**20
"""Bytes that any run needs: small networks, records, logs, NVFlare's own folder; 140 MiB of them in preset `smoke`."""
REST = 64 * 2**20
"""Bytes that must be free however much of a run is there: files are written beside the ones that they replace."""
COLOURS = 3
"""Channels of a synthetic image where the sites declare no more."""
FLOAT = 4
"""Bytes of a value of a volume's slice at network size; its label has one."""
KEPT_TEACHERS = 4
"""Copies of the teacher that a run keeps: adapted, distilled, and the state of a training."""
BRANCH_SHARE = 0.5
"""Size of a branch that a site fits, as a part of the network that it steers."""
UNET = "unet/diffusion_pytorch_model*.safetensors"


def needed_bytes(workflow: FederatedWorkflow, layout: SimulatedSites, folders: Collection[str]) -> int:
    """Return an estimate of what a run writes below its folder, in bytes.

    It counts the synthetic set at the server and at every site, the volumes that the sites keep at network size, the
    given weights as often as they are kept, and the branch of every site where the generator builds on a Stable
    Diffusion. A site whose datalist is not understood counts as one of pictures; its errors are told elsewhere.

    Args:
        workflow: of the run, with its settings.
        layout: where everything lies.
        folders: names of the sites' folders.
    """
    settings, sites = workflow.settings, len(folders)
    found = [datalist for name in folders if (datalist := parse_datalist(layout.sites / name)[0]) is not None]
    need = MINIMUM + sum(map(_volume_values, found)) * settings.image_size**2
    if workflow.GENERATES:
        samples = settings.synthetic.per_site * sites
        channels = max([COLOURS, *(datalist.channels or 1 for datalist in found)])
        need += samples * settings.image_size**2 * (channels + 1) * (sites + 1)
    for path, copies in (
        (layout.teacher, KEPT_TEACHERS),
        (layout.light_weights, sites),
        (layout.generator_base, sites),
    ):
        need += copies * path.stat().st_size if path is not None else 0
    if layout.generator is not None and workflow.GENERATES:
        network = max((path.stat().st_size for path in layout.generator.glob(UNET)), default=0)
        need += int(2 * sites * BRANCH_SHARE * network)  # at the site and at the server
    return need


def _volume_values(datalist: SiteDatalist) -> int:
    """Return the bytes that a site keeps of every place of a slice, over all slices of its volumes."""
    slices = sum(item.slice_index is not None for items in datalist.parts.values() for item in items)
    return slices * (FLOAT * (datalist.channels or 1) + 1)


def require_space(run: Path, need: int) -> None:
    """See that the disk of the run folder has room for what a run is still to write.

    Args:
        run: the run folder; what lies there already is taken from the need, but for `REST`.
        need: bytes that the whole run writes.

    Raises:
        ConfigError: less is free.
    """
    there = sum(path.lstat().st_size for path in run.rglob("*") if path.is_file() and not path.is_symlink())
    left = max(need - there, REST)
    free = shutil.disk_usage(_existing(run)).free
    if free < left:
        reason = f"the disk is full but for {_shown(free)}, and the run needs about {_shown(left)}"
        raise ConfigError(f"--out {run}", reason, "Free space, or choose an --out on another disk")


def _existing(path: Path) -> Path:
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
