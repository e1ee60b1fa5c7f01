# SPDX-License-Identifier: Apache-2.0
"""An executor that misbehaves on purpose; the fault test ships it inside a job folder, as code of that job alone."""

from __future__ import annotations

import os
import signal
import time

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.federated.wire.message import Message, open_request
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.flare.codec import from_shareable, to_shareable
from dsfedmed.flare.executor import SiteExecutor


class FaultyExecutor(SiteExecutor):
    """Does what the plan ``{site: {round: fault}}`` says in the rounds of dsfedmed; else as it should."""

    def __init__(self, plan: dict) -> None:
        super().__init__()
        self.plan = plan

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        fault = self._fault(task_name, shareable, fl_ctx)
        if fault == "die" and self._child and self._child._process:
            os.kill(self._child._process.pid, signal.SIGKILL)
        if fault == "raise":
            raise RuntimeError("made to fail")
        if fault == "hang":
            time.sleep(30)
        reply = super().execute(task_name, shareable, fl_ctx, abort_signal)
        if fault not in ("nan", "thousandfold"):
            return reply
        message = from_shareable(reply, "site")
        if fault == "thousandfold":
            larger = {name: tensor * 1000 for name, tensor in message.tensors.items()}
            return to_shareable(Message(message.info, larger, message.is_difference))
        name = max(message.tensors, key=lambda key: message.tensors[key].numel())
        tensors = {**message.tensors, name: message.tensors[name] * float("nan")}
        return to_shareable(Message(message.info, tensors, message.is_difference))

    def _fault(self, task_name: str, shareable: Shareable, fl_ctx: FLContext) -> str | None:
        if task_name != TRAIN.name:
            return None
        facts = open_request(TRAIN, from_shareable(shareable, "server")).body.round
        plan = self.plan.get(fl_ctx.get_identity_name(), {})
        return plan.get(str(facts.round)) if facts.training == "dsfedmed" and facts.epochs else None
