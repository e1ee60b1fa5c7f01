# SPDX-License-Identifier: Apache-2.0
"""What is attacked: a finished run's generator and one of its sites, and further branches fitted beside that generator.

A branch that was fitted is kept in the work folder under a hash of what it depends on, and is not fitted again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.data.arrays import SiteArrays, generator_pairs, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.labels import to_channels
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.layout import site_folders
from dsfedmed.federated.server.finished_run import FinishedRun
from dsfedmed.generator.fit import MaskedImages, fit_branch
from dsfedmed.generator.networks.branch import branch_state, build_branch, load_branch_state
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import read_tensors, write_tensors
from dsfedmed.store.stage_store import config_hash

Say = Callable[[str], None]


@dataclass(frozen=True)
class Victim:
    """A site of a finished run, as the one who attacks its branch sees it.

    Attributes:
        run: the finished run.
        site: its name.
        own: the images and masks that its branch was fitted on.
        others: those of its other patients (validation and test), which the generator has never seen.
        others_labels: label maps of ``others``, uint8 (N, 1, S, S).
        own_labels: label maps of ``own``.
    """

    run: FinishedRun
    site: str
    own: MaskedImages
    others: MaskedImages
    own_labels: Tensor
    others_labels: Tensor

    @classmethod
    def open(cls, run: Path, sites: Path, site: str, bundles: Path) -> Victim:
        """Read a run and one of its source sites.

        Raises:
            StoreError: another version of the program made the run, or it has no branch of that site.
        """
        finished = FinishedRun.open(run, sites, PartyConfig(bundles=bundles.resolve()))
        bundle = finished.plan.light_bundle
        datalist = load_datalist(sites / site_folders(sites)[site])
        parts = [
            generator_pairs(load_part(datalist, part, bundle.preprocessing()), site)
            for part in ("training", "validation", "test")
        ]
        own, held = parts[0], joined_arrays(parts[1:])
        classes, nested = bundle.num_classes, bundle.nested
        pairs = [MaskedImages(part.images, to_channels(part.labels, classes, nested)) for part in (own, held)]
        return cls(finished, site, pairs[0], pairs[1], own.labels, held.labels)

    @property
    def preset_steps(self) -> int:
        """Gradient steps of the site's branch in the run."""
        return self.run.plan.settings.generator.branch_steps

    def untouched(self) -> ControlNetModel:
        """Return a branch before its first step: its output convolutions are zero, so that the base answers alone."""
        return self._start().eval()

    def passes(self, steps: int, images: int) -> float:
        """Return how often each of ``images`` is seen in ``steps``."""
        config = self.run.plan.generator
        return steps * config.batch_size * config.accumulation / images

    def fitted(self, name: str, pairs: MaskedImages, steps: int, work: Path, say: Say) -> ControlNetModel:
        """Return a branch fitted on ``pairs`` as a site does it, from ``work`` where it was fitted before."""
        base, config = self.run.generator_base, self.run.plan.generator
        told = {"images": digest({"images": pairs.images, "masks": pairs.channels}), "steps": steps, "name": name}
        weights = digest({key: tensor.float() for key, tensor in base.unet.state_dict().items()})
        path = work / f"{name}-{config_hash({**told, 'base': weights, 'generator': config.to_dict()})}.safetensors"
        branch = self._start()
        if path.exists():
            load_branch_state(branch, read_tensors(path), name)
        else:
            say(f"fitting {name}: {len(pairs.images)} images, {steps} steps")
            loss = fit_branch(base, branch, pairs, config, steps, derive_seed(0, "attack", name))
            work.mkdir(parents=True, exist_ok=True)
            write_tensors(path, branch_state(branch))
            say(f"fitted {name}: loss {loss:.4f}")
        return branch.eval()

    def _start(self) -> ControlNetModel:
        seed = derive_seed(self.run.plan.settings.seed, "branch")
        return build_branch(self.run.generator_base, self.run.plan.generator, seed=seed)


def joined_arrays(parts: list[SiteArrays]) -> SiteArrays:
    """Return parts one behind the other."""
    images, labels = torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
    return SiteArrays(images, labels, tuple(case for part in parts for case in part.cases))


def joined(*parts: MaskedImages) -> MaskedImages:
    """Return pairs one behind the other."""
    return MaskedImages(torch.cat([part.images for part in parts]), torch.cat([part.channels for part in parts]))


def picked(pairs: MaskedImages, chosen: Tensor) -> MaskedImages:
    """Return the pairs at the indices ``chosen`` (n,), int64."""
    return MaskedImages(pairs.images[chosen], pairs.channels[chosen])
