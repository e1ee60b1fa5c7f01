# SPDX-License-Identifier: Apache-2.0
"""Tasks of the generator: a round of the base, the site's own branch, and masks to sample from.

Pixels without a label are background to the branch and in the masks; images that are mostly of them are left out of
both (`dsfedmed.data.arrays.generator_pairs`). The base learns images alone, all of them.
"""

from __future__ import annotations

from dsfedmed.data.arrays import generator_pairs
from dsfedmed.data.labels import to_channels
from dsfedmed.devices import on_device, release_memory
from dsfedmed.exchange.compression import difference, pack, unpack
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.party.generator_base import check_generator_base, load_generator_base
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import Envelope, ReplyHeader
from dsfedmed.federated.wire.requests.generator import (
    BaseReply,
    BaseRequest,
    BranchReply,
    BranchRequest,
    MasksReply,
    MasksRequest,
)
from dsfedmed.generator.fit import FitSteps, MaskedImages, fit_base, fit_branch
from dsfedmed.generator.mask_sampler import deform_label_maps
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base
from dsfedmed.generator.packing import pack_label_maps
from dsfedmed.seeds import derive_seed


def train_base(site: SiteContext, request: Envelope[BaseRequest]) -> Envelope[BaseReply]:
    """Train the common base for some steps on the site's images and return the difference."""
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
    body = request.body
    check_generator_base(body.generator_base, body.generator, site.config, site.folder, site.name)
    loss, state = _fit(site, body, unpack(request.tensors))
    release_memory()
    return Envelope(BranchReply(loss), state, header=ReplyHeader(scalars={"branch_loss": loss}))


def _fit(site: SiteContext, body: BranchRequest, weights: Weights) -> tuple[float, Weights]:
    common, config = body.common, body.generator
    arrays = generator_pairs(site.arrays("training", common.light), site.name)
    base = load_generator_base(config, site.config, weights)
    network = build_branch(base, config, seed=derive_seed(common.seed, "branch"))
    network = on_device(network, site.config.device)
    channels = to_channels(arrays.labels, config.num_classes, common.nested)
    seed = derive_seed(common.seed, site.name, "branch")
    steps = body.steps
    loss = fit_branch(
        base,
        network,
        MaskedImages(arrays.images, channels),
        config,
        steps,
        seed,
        lambda step, _: site.on_progress(step, steps),
    )
    return loss, pack(branch_state(network), common.precision, site.name)


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
