# SPDX-License-Identifier: Apache-2.0
"""A site's worker that sends bad updates, or says of every validation what helps nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dsfedmed.federated.local.site import Worker
from dsfedmed.federated.site.task_progress import ProgressCallback, no_progress
from dsfedmed.federated.wire.message import Envelope, Message, open_reply, open_request, reply_message
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed_benchmarks.poison.updates import Bad


class BadWorker:
    """Works as it should and then spoils what it sends.

    Args:
        worker: does the tasks.
        update: makes the bad update; None leaves it.
        lies: report a validation Dice of 1 in odd rounds and of 0 in even ones.
    """

    def __init__(self, worker: Worker, update: Bad | None = None, lies: bool = False) -> None:
        self._worker, self._update, self._lies = worker, update, lies

    def run(
        self,
        task: str,
        request: Message,
        aborted: Callable[[], bool],
        on_progress: ProgressCallback = no_progress,
    ) -> Message:
        """Do one task; spoil the reply of a round."""
        reply = self._worker.run(task, request, aborted, on_progress)
        if task != TRAIN.name:
            return reply
        number = open_request(TRAIN, request).body.round.round
        return reply_message(self._spoilt(open_reply(TRAIN, reply, "bad"), number))

    def stop(self) -> None:
        """End."""
        self._worker.stop()

    def _spoilt(self, reply: Envelope[TrainReply], number: int) -> Envelope[TrainReply]:
        if self._lies:
            reply = replace(reply, body=replace(reply.body, validation=float(number % 2)))
        if self._update is not None and reply.tensors:
            reply = replace(reply, tensors=self._update(reply.tensors, number))
        return reply
