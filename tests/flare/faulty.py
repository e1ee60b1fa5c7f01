# SPDX-License-Identifier: Apache-2.0
"""An executor that misbehaves on purpose; the fault test ships it inside a job folder, as code of that job alone."""

from __future__ import annotations

import os
import signal
import time

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.federated.wire.message import Message, from_shareable, to_shareable
from dsfedmed.flare.executor import SiteExecutor


class FaultyExecutor(SiteExecutor):
    """Does what the plan ``{site: {round: fault}}`` says in the rounds of the arm dsfedmed; else as it should."""

    def __init__(self, plan: dict) -> None:
        super().__init__()
        self.plan = plan

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        request = from_shareable(shareable, "server")
        fault = None
        if task_name == "dsf_train" and request.info["arm"] == "dsfedmed" and request.info["epochs"]:
            fault = self.plan.get(fl_ctx.get_identity_name(), {}).get(str(request.info["round"]))
        if fault == "die" and self._child and self._child._process:
            os.kill(self._child._process.pid, signal.SIGKILL)
        if fault == "raise":
            raise RuntimeError("made to fail")
        if fault == "hang":
            time.sleep(30)
        reply = super().execute(task_name, shareable, fl_ctx, abort_signal)
        if fault not in ("nan", "shape"):
            return reply
        message = from_shareable(reply, "site")
        tensors = dict(message.tensors)
        name = max(tensors, key=lambda key: tensors[key].numel())
        if fault == "nan":
            tensors[name] = tensors[name] * float("nan")
        else:
            tensors[name] = tensors[name].reshape(-1)[:1]
        return to_shareable(Message(message.info, tensors, message.is_difference))
