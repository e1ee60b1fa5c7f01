# SPDX-License-Identifier: Apache-2.0
"""FedRDN (Yan et al., arXiv 2306.09363): the server's side."""

from __future__ import annotations

from dsfedmed.algorithms.appearance.image_statistics import ChannelStatistics, mean_statistics
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.training_run import Beside, TrainingSpec
from dsfedmed.federated.wire.codec import SAME_VERSION, from_json, to_json
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.statistics import RandomisedRequest, StatisticsReply, StatisticsRequest
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.federated.wire.tasks import RANDOMISED, STATISTICS, TRAIN
from dsfedmed.settings import Settings
from dsfedmed.store.stage_store import StageResult

STAGE = "share statistics"
Known = dict[str, tuple[ChannelStatistics, ...]]


class FedRDN(LightRounds):
    """FedAvg whose training images are normalised with the mean and spread of a site that is drawn for each.

    The sites share these two numbers a channel, once. In the end each is scored on images that are normalised with its
    own, the unseen ones too, and under "fedrdn_plain" on images as they are: what somebody has of the release.
    """

    METHOD = "fedrdn"
    UPDATES = (RANDOMISED, TRAIN)
    known: Known

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order."""
        first, *others = super().stages(settings)
        return (first, STAGE, *others)

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds of FedAvg on images with drawn statistics, which the sites share before."""
        found = self.once(STAGE, lambda: self._share(plan)).info
        self.known = {site: from_json(StatisticsReply, told, site).statistics for site, told in found.items()}
        return TrainingSpec(self.METHOD, task=RANDOMISED, request=self._request)

    def scored(self, plan: FederationPlan, best: Weights) -> dict[str, ScoredModel]:
        """Return the network on images with the sites' own statistics, and on images as they are."""
        return {
            "fedrdn": ScoredModel(best, statistics=mean_statistics(self.known.values())),
            "fedrdn_plain": ScoredModel(best),
        }

    def _share(self, plan: FederationPlan) -> StageResult:
        channels = plan.facts.channels

        def check(site: str, reply: Envelope[StatisticsReply]) -> None:
            if len(reply.body.statistics) != channels:
                raise PayloadError(site, f"sent statistics of other than {channels} channels", SAME_VERSION)

        replies = self.ask(STATISTICS, Envelope(StatisticsRequest(plan.common)), on_reply=check)
        return StageResult({site: to_json(reply.body) for site, reply in replies.items()}, {})

    def _request(
        self, plan: FederationPlan, _spec: TrainingSpec, facts: RoundFacts, _beside: Beside
    ) -> RandomisedRequest:
        return RandomisedRequest(plan.common, facts, self.known, mean_statistics(self.known.values()))
