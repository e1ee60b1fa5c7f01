# SPDX-License-Identifier: Apache-2.0
"""Tasks of the generator: a round of the base, the site's own branch, and masks to sample from.

Pixels without a label are background to the branch and in the masks; images that are mostly of them are left out of
both (`dsfedmed.data.arrays.generator_pairs`). The base learns images alone, all of them.
"""

from __future__ import annotations

from collections.abc import Callable

from diffusers.models.controlnets.controlnet import ControlNetModel

from dsfedmed.data.arrays import generator_pairs
from dsfedmed.data.labels import to_channels
from dsfedmed.devices import on_device, release_memory
from dsfedmed.exchange.compression import difference, pack, unpack
from dsfedmed.federated.party.generator_base import check_generator_base, load_generator_base
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.private_branch import fit_privately, refuse_fitted_base, stricter
from dsfedmed.federated.wire.message import Envelope, ReplyHeader
from dsfedmed.federated.wire.requests.generator import (
    BaseReply,
    BaseRequest,
    BranchReply,
    BranchRequest,
    MasksReply,
    MasksRequest,
)
from dsfedmed.generator.fit import FitSteps, fit_base, fit_branch
from dsfedmed.generator.mask_sampler import deform_label_maps
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base
from dsfedmed.generator.packing import pack_label_maps
from dsfedmed.generator.private.fit import PatientImages
from dsfedmed.seeds import derive_seed


def train_base(site: SiteContext, request: Envelope[BaseRequest]) -> Envelope[BaseReply]:
    """Train the common base for some steps on the site's images and return the difference."""
    refuse_fitted_base(site)
    body, device = request.body, site.config.device
    images = site.arrays("training", body.common.light).images
    start = unpack(request.tensors)
    network = on_device(build_base(body.generator), device)
    network.load_state_dict(start)
    loss = fit_base(
        network,
        images,
        body.generator,
        FitSteps(body.steps, body.first_step, body.total_steps),
        derive_seed(body.common.seed, site.name, "base", body.round),
        on_step=lambda step, _: site.on_progress(step, body.steps),
    )
    update = pack(difference(network.state_dict(), start), body.common.precision, site.name)
    header = ReplyHeader(scalars={"base_loss": loss}, step=body.round)
    return Envelope(BaseReply(body.round, loss), update, True, header)


def fit_site_branch(site: SiteContext, request: Envelope[BranchRequest]) -> Envelope[BranchReply]:
    """Fit the site's ControlNet branch on its own pairs, the generator base frozen; only what was trained leaves."""
    body, common = request.body, request.body.common
    check_generator_base(body.generator_base, body.generator, site.config, site.folder, site.name)
    arrays = generator_pairs(site.arrays("training", common.light), site.name)
    base = load_generator_base(body.generator, site.config, unpack(request.tensors))
    network = build_branch(base, body.generator, seed=derive_seed(common.seed, "branch"))
    network = on_device(network, site.config.device)
    channels = to_channels(arrays.labels, body.generator.num_classes, common.nested)
    reply, header = _fit(site, request, base, network, PatientImages(arrays.images, channels, arrays.cases))
    state = pack(branch_state(network), common.precision, site.name)
    release_memory()
    return Envelope(reply, state, header=header)


def _fit(
    site: SiteContext,
    request: Envelope[BranchRequest],
    base: GeneratorBase,
    network: ControlNetModel,
    pairs: PatientImages,
) -> tuple[BranchReply, ReplyHeader]:
    """Fit privately where the site or the job wants it; no loss leaves then."""
    body = request.body
    wanted = stricter(site.config.branch_privacy, body.privacy, len(set(pairs.patients)))
    if wanted is not None:
        on_step: Callable[[int], None] = lambda step: site.on_progress(step, body.steps)  # noqa: E731
        stated = fit_privately(site, request, wanted, base, network, pairs, on_step)
        return BranchReply(None, stated), ReplyHeader()
    seed = derive_seed(body.common.seed, site.name, "branch")
    loss = fit_branch(
        base, network, pairs, body.generator, body.steps, seed, lambda step, _: site.on_progress(step, body.steps)
    )
    return BranchReply(loss), ReplyHeader(scalars={"branch_loss": loss})


def sample_masks(site: SiteContext, request: Envelope[MasksRequest]) -> Envelope[MasksReply]:
    """Return label maps to sample from: deformed ones, unless the site allows its drawn ones to leave."""
    common, count = request.body.common, request.body.count
    labels = generator_pairs(site.arrays("training", common.light), site.name).labels
    if site.config.send_drawn_masks:
        reply, label_maps = MasksReply("drawn"), labels[:count]
    else:
        seed = derive_seed(common.seed, site.name, "masks")
        reply, label_maps = MasksReply("deformed"), deform_label_maps(labels, count, seed)
    return Envelope(reply, pack_label_maps(label_maps, common.num_classes))
