# SPDX-License-Identifier: Apache-2.0
"""A site that answers with random updates of the shapes it was sent: no data, no training, no process of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.federated.wire.message import Envelope, open_request, reply_message
from dsfedmed.federated.wire.task import Task
from dsfedmed.flare.codec import from_shareable, register_tensors, to_shareable
from dsfedmed.ranges import Nonnegative, Round
from dsfedmed.seeds import derive_seed, generator

STEP = 1e-3


@dataclass(frozen=True)
class RandomRequest:
    """Asks for an update; the weights come as tensors.

    Attributes:
        round: from 1.
        not_before: seconds since the epoch; every site answers at that moment, or later if it must.
    """

    round: Round
    not_before: Nonnegative


@dataclass(frozen=True)
class RandomReply:
    """The seconds that drawing took; the update comes as tensors."""

    round: Round
    drawn_s: Nonnegative


def random_update(site: str, request: Envelope[RandomRequest]) -> Envelope[RandomReply]:
    """Return a normal draw of deviation ``STEP`` in float16 for every tensor, not before the time asked for."""
    started = time.monotonic()
    draws = generator(derive_seed(0, site, request.body.round))
    update = {
        name: torch.empty(tensor.shape).normal_(0.0, STEP, generator=draws).half()
        for name, tensor in request.tensors.items()
    }
    drawn = time.monotonic() - started
    time.sleep(max(request.body.not_before - time.time(), 0.0))
    return Envelope(RandomReply(request.body.round, drawn), update, True)


RANDOM = Task("dsf_random", RandomRequest, RandomReply, f"{__name__}:random_update", "update", cached=False)


class RandomSite(Executor):  # type: ignore[misc]
    """Executes the task `RANDOM`."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:  # noqa: ARG002 (NVFlare's signature)
        """Let the serialiser carry tensors."""
        if event_type == EventType.START_RUN:
            register_tensors()

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:  # noqa: ARG002
        """Do the task."""
        request = open_request(RANDOM, from_shareable(shareable, "server"))
        return to_shareable(reply_message(random_update(fl_ctx.get_identity_name(), request)))
