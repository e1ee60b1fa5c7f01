# SPDX-License-Identifier: Apache-2.0
"""A site's part in FedRDN: what it tells of its images, its rounds, and how it sees a network in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dsfedmed.algorithms.appearance.image_statistics import ChannelStatistics, renormalised, statistics_of
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.baselines.randomised import (
    own_statistics,
    report_statistics,
    train_randomised,
    with_own_statistics,
)
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.statistics import RandomisedRequest, StatisticsRequest
from tests.federated.site.tasks.baselines.toy_site import (
    again,
    as_in_fedavg,
    distance,
    facts_of,
    same,
    sent,
    start_of,
    toy,
)

Statistics = tuple[ChannelStatistics, ...]
OTHER = (ChannelStatistics(0.9, 0.05),)


def ask(
    plan: FederationPlan, weights: Weights, known: dict[str, Statistics], onto: Statistics, epochs: int = 2
) -> Envelope[RandomisedRequest]:
    return Envelope(RandomisedRequest(plan.common, facts_of(plan, 1, epochs=epochs), known, onto), sent(weights))


def only(site: SiteContext, part: str) -> SiteContext:
    """The site with its first images of one part alone."""
    file = site.config.need("data") / "datalist.json"
    content = json.loads(file.read_text())
    emptied: dict[str, list[str]] = {name: [] for name in ("training", "validation", "test") if name != part}
    file.write_text(json.dumps({**content, **emptied, part: content[part][:2]}))
    return again(site.config.need("data"), site.folder / part)


def test_a_site_tells_the_mean_and_spread_of_its_images_without_a_label(
    site: SiteContext, plan: FederationPlan
) -> None:
    arrays = [site.arrays(part, plan.light_spec).images for part in ("training", "validation")]
    for label in (site.config.need("data") / "labels").glob("*"):
        label.unlink()
    told = report_statistics(again(site.config.need("data"), site.folder), Envelope(StatisticsRequest(plan.common)))
    assert told.body.statistics == statistics_of(torch.cat(arrays))
    assert told.tensors == {}


def test_so_few_images_that_one_could_be_told_from_them_stay_unsaid(site: SiteContext, plan: FederationPlan) -> None:
    with pytest.raises(ConfigError, match="site_a: it has 2 training and validation images"):
        report_statistics(only(site, "training"), Envelope(StatisticsRequest(plan.common)))


def test_under_its_own_statistics_alone_a_round_is_fedavgs(site: SiteContext, plan: FederationPlan) -> None:
    """Up to the rounding of (x - mu) / sigma * sigma + mu."""
    start, own = start_of(site, plan), own_statistics(site, plan.light_spec)
    plain = as_in_fedavg(site, plan, start, 1)
    reply = train_randomised(site, ask(plan, start, {"site_a": own}, own))
    assert reply.body.validation == plain.body.validation
    assert reply.body.steps == plain.body.steps
    assert distance(reply.tensors, plain.tensors) < 1e-4
    other = train_randomised(site, ask(plan, start, {"site_a": own, "site_b": OTHER}, own))
    assert distance(other.tensors, plain.tensors) > 0.01
    repeated = train_randomised(
        again(site.config.need("data"), site.folder), ask(plan, start, {"site_b": OTHER, "site_a": own}, own)
    )
    assert same(repeated.tensors, other.tensors), "sites are drawn in the order of their names"


def test_it_validates_on_images_under_its_own_statistics(site: SiteContext, plan: FederationPlan) -> None:
    """A network that marks what is brighter than the federation's mean: of normalised images about half."""
    start = start_of(site, plan)
    own, onto = own_statistics(site, plan.light_spec), (ChannelStatistics(0.5, 0.2),)
    images = site.arrays("validation", plan.light_spec).images
    network = toy(None)  # type: ignore[arg-type]
    network.load_state_dict(start)
    seen = with_own_statistics(site, plan.light_spec, onto, network)
    torch.testing.assert_close(seen(images), network(renormalised(images, own, onto)))
    reply = train_randomised(site, ask(plan, start, {"site_a": own}, onto, epochs=0))
    assert reply.tensors == {}
    assert reply.body.steps is None


def test_a_site_that_is_scored_only_has_those_of_its_test_images(site: SiteContext, plan: FederationPlan) -> None:
    unseen = only(site, "test")
    assert own_statistics(unseen, plan.light_spec) == statistics_of(unseen.arrays("test", plan.light_spec).images)


@pytest.mark.parametrize(("known", "onto"), [({}, ()), ({"site_b": OTHER * 2}, OTHER), ({"site_b": OTHER}, ())])
def test_statistics_of_other_channels_are_refused(
    site: SiteContext, plan: FederationPlan, known: dict[str, Statistics], onto: Statistics, tmp_path: Path
) -> None:
    with pytest.raises(PayloadError, match="server: sent statistics of other than 1 channels"):
        train_randomised(site, ask(plan, start_of(site, plan), known, onto))
    assert not (tmp_path / "work" / "optimizer").exists()
