# SPDX-License-Identifier: Apache-2.0
"""A site's part in FedDG: nothing leaves without its permission, what leaves, and rounds with others' amplitudes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dsfedmed.algorithms.appearance.amplitude import low_amplitudes
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.tensors import Weights, digest
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.baselines.exchanged import keep_amplitudes, send_amplitudes, train_exchanged
from dsfedmed.federated.wire.message import Envelope, request_message
from dsfedmed.federated.wire.requests.amplitudes import AmplitudesRequest, ExchangedRequest, KeepAmplitudesRequest
from tests.federated.site.tasks.baselines.toy_site import (
    again,
    as_in_fedavg,
    distance,
    facts_of,
    same,
    sent,
    start_of,
)

BRIGHT = torch.zeros(2, 1, 7, 7)
BRIGHT[:, :, 3, 3] = 0.9


def permitting(site: SiteContext) -> SiteContext:
    return SiteContext(site.name, replace(site.config, send_amplitudes=True), site.folder)


def ask(plan: FederationPlan, weights: Weights, kept: str, epochs: int = 2) -> Envelope[ExchangedRequest]:
    return Envelope(ExchangedRequest(plan.common, facts_of(plan, 1, epochs=epochs), 0.1, kept), sent(weights))


def keep(site: SiteContext, **sites: Tensor) -> str:
    tensors = {f"amplitudes/{name}": tensor for name, tensor in sites.items()}
    return keep_amplitudes(site, Envelope(KeepAmplitudesRequest(digest(tensors)), tensors)).body.kept


def test_without_the_site_s_permission_nothing_leaves(site: SiteContext, plan: FederationPlan) -> None:
    request = Envelope(AmplitudesRequest(plan.common, 0.1, 4))
    with pytest.raises(ConfigError, match="site_a: it sends no amplitude spectra of its images"):
        send_amplitudes(site, request)
    assert send_amplitudes(permitting(site), request).body.images == 4


def test_a_kept_reply_is_not_given_again_once_the_site_forbids_it(site: SiteContext, plan: FederationPlan) -> None:
    message = request_message(Envelope(AmplitudesRequest(plan.common, 0.1, 4)))
    assert permitting(site).answer("dsf_amplitudes", message).tensors
    with pytest.raises(ConfigError, match="it sends no amplitude spectra"):
        site.answer("dsf_amplitudes", message)


def test_what_leaves_is_the_band_of_so_many_training_images(site: SiteContext, plan: FederationPlan) -> None:
    """Six images of 32 pixels: four of them are the first, second, fourth and fifth; a tenth of 32 is 3."""
    reply = send_amplitudes(permitting(site), Envelope(AmplitudesRequest(plan.common, 0.1, 4)))
    images = site.arrays("training", plan.light_spec).images
    assert set(reply.tensors) == {"amplitudes"}
    torch.testing.assert_close(reply.tensors["amplitudes"], low_amplitudes(images[[0, 1, 3, 4]], 3))
    assert reply.tensors["amplitudes"].shape == (4, 1, 7, 7)
    everything = send_amplitudes(permitting(site), Envelope(AmplitudesRequest(plan.common, 0.0, 100)))
    torch.testing.assert_close(everything.tensors["amplitudes"].flatten(), images.mean(dim=(1, 2, 3)))


def test_a_round_trains_on_images_with_the_others_amplitudes(site: SiteContext, plan: FederationPlan) -> None:
    start = start_of(site, plan)
    plain, kept = as_in_fedavg(site, plan, start, 1), keep(site, site_a=BRIGHT * 0, site_b=BRIGHT)
    reply = train_exchanged(site, ask(plan, start, kept))
    assert (reply.body.validation, reply.body.steps) == (plain.body.validation, plain.body.steps)
    assert distance(reply.tensors, plain.tensors) > 0.01
    alone = keep(site, site_b=BRIGHT)
    repeated = train_exchanged(again(site.config.need("data"), site.folder), ask(plan, start, alone))
    assert same(repeated.tensors, reply.tensors), "its own are not among them"
    assert train_exchanged(site, ask(plan, start, kept, epochs=0)).tensors == {}


def test_a_round_without_amplitudes_of_others_is_refused(site: SiteContext, plan: FederationPlan) -> None:
    start = start_of(site, plan)
    with pytest.raises(PayloadError, match="site_a: it was sent no amplitudes"):
        train_exchanged(site, ask(plan, start, "0" * 64))
    for kept in (
        keep(site, site_a=BRIGHT),
        keep(site, site_b=BRIGHT[..., :3, :3]),
        keep(site, site_b=BRIGHT.repeat(1, 2, 1, 1)),
    ):
        with pytest.raises(PayloadError, match="server: sent no amplitudes of other sites of the shape"):
            train_exchanged(site, ask(plan, start, kept))


@pytest.mark.parametrize("bad", [BRIGHT * 2, -BRIGHT, BRIGHT * float("nan"), BRIGHT.double(), BRIGHT[0], BRIGHT[:0]])
def test_what_are_no_amplitudes_are_not_kept(site: SiteContext, bad: Tensor, tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match="other tensors than the amplitudes"):
        keep(site, site_b=bad)
    with pytest.raises(PayloadError, match="other tensors than the amplitudes"):
        keep_amplitudes(site, Envelope(KeepAmplitudesRequest("0" * 64), {"amplitudes/site_b": BRIGHT}))
    assert not (tmp_path / "work" / "amplitudes").exists()
