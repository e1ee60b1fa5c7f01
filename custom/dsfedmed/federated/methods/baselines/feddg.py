# SPDX-License-Identifier: Apache-2.0
"""FedDG's exchange of amplitudes (Liu et al., CVPR 2021, arXiv 2103.06030): the server's side."""

from __future__ import annotations

import torch
from torch import Tensor

from dsfedmed.algorithms.appearance.amplitude import reach
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import TensorSpec, check_tensors, digest
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_run import Beside, TrainingSpec
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.amplitudes import (
    AMPLITUDES,
    AmplitudesReply,
    AmplitudesRequest,
    ExchangedRequest,
    KeepAmplitudesReply,
    KeepAmplitudesRequest,
)
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.federated.wire.tasks import EXCHANGED, KEEP_AMPLITUDES, SEND_AMPLITUDES, TRAIN
from dsfedmed.settings import Settings
from dsfedmed.store.stage_store import StageResult

STAGE = "exchange amplitudes"


class FedDG(LightRounds):
    """FedAvg whose training images take on the low amplitudes of other sites' images, by a share that is drawn.

    Without the paper's episodes: the exchange alone. What leaves a site, once, are amplitudes of single images; each
    site has to permit it. A site that missed what the others sent takes no part in the rounds.
    """

    METHOD = "feddg"
    UPDATES = (EXCHANGED, TRAIN)
    kept: str

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order."""
        first, *others = super().stages(settings)
        return (first, STAGE, *others)

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds of FedAvg on exchanged images, whose amplitudes the sites share before."""
        self.kept = self.once(STAGE, lambda: self._exchange(plan)).info["kept"]
        return TrainingSpec(self.METHOD, task=EXCHANGED, request=self._request)

    def _exchange(self, plan: FederationPlan) -> StageResult:
        """Ask every site for amplitudes, and send all of them to all sites."""
        found: dict[str, Tensor] = {}
        side = 2 * reach(self.options.band, self.settings.image_size) + 1

        def collect(site: str, reply: Envelope[AmplitudesReply]) -> None:
            count = reply.body.images
            if count > min(self.options.images, plan.counts[site]):
                raise PayloadError(site, f"sent amplitudes of {count} images, more than asked for", SAME_VERSION)
            spec = TensorSpec((count, plan.facts.channels, side, side), (torch.float32,))
            tensor = check_tensors(reply.tensors, {AMPLITUDES: spec}, site)[AMPLITUDES]
            if not 0 <= float(tensor.min()) <= float(tensor.max()) <= 1:
                raise PayloadError(site, "sent amplitudes that are not between 0 and 1", SAME_VERSION)
            found[f"{AMPLITUDES}/{site}"] = tensor

        request = AmplitudesRequest(plan.common, self.options.band, self.options.images)
        self.ask(SEND_AMPLITUDES, Envelope(request), on_reply=collect)
        tensors = {name: found[name] for name in sorted(found)}
        kept = digest(tensors)

        def check(site: str, reply: Envelope[KeepAmplitudesReply]) -> None:
            if reply.body.kept != kept:
                raise PayloadError(site, "kept other amplitudes than it was sent", SAME_VERSION)

        self.ask(KEEP_AMPLITUDES, Envelope(KeepAmplitudesRequest(kept), tensors), on_reply=check)
        return StageResult({"kept": kept, "images": {name: len(tensor) for name, tensor in tensors.items()}}, {})

    def _request(
        self, plan: FederationPlan, _spec: TrainingSpec, facts: RoundFacts, _beside: Beside
    ) -> ExchangedRequest:
        return ExchangedRequest(plan.common, facts, self.options.band, self.kept)
