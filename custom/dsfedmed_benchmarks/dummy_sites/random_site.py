# SPDX-License-Identifier: Apache-2.0
"""A site that answers with random updates of the shapes it was sent: no data, no training, no process of its own."""

from __future__ import annotations

import time

import torch
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.federated.wire.message import Message, from_shareable, register_tensors, to_shareable
from dsfedmed.seeds import derive_seed, generator

STEP = 1e-3


class RandomSite(Executor):  # type: ignore[misc]
    """Executes the tasks of `dsfedmed_benchmarks.dummy_sites.federation`."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:  # noqa: ARG002 (NVFlare's signature)
        """Let the serialiser carry tensors."""
        if event_type == EventType.START_RUN:
            register_tensors()

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:  # noqa: ARG002
        """Return a normal draw of deviation ``STEP`` in float16 for every tensor, not before the time asked for."""
        request = from_shareable(shareable, "server")
        started = time.monotonic()
        draws = generator(derive_seed(0, fl_ctx.get_identity_name(), int(request.info["round"])))
        update = {
            name: torch.empty(tensor.shape).normal_(0.0, STEP, generator=draws).half()
            for name, tensor in request.tensors.items()
        }
        drawn = time.monotonic() - started
        time.sleep(max(float(request.info["not_before"]) - time.time(), 0.0))
        return to_shareable(Message({"round": request.info["round"], "drawn_s": drawn}, update, True))
