# SPDX-License-Identifier: Apache-2.0
"""What the privacy filters share: a reply on its way out, and the refusal that may leave in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nvflare.apis.dxo import DataKind, from_shareable
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from torch import Tensor

from dsfedmed.federated.wire.message import HEADER, Message, to_shareable

SENDS = {
    "dsf_facts": "facts",
    "dsf_soft_labels": "facts",
    "dsf_evaluate": "facts",
    "dsf_audit": "verdict",
    "dsf_masks": "masks",
    "dsf_branch": "branch",
    "dsf_base": "update",
    "dsf_train": "update",
    "dsf_local": "network",
    "dsf_personal": "update",
    "dsf_label": "facts",
    "dsf_agree": "update",
    "dsf_fuse": "answers",
}
"""What each task's reply holds. A task that is not named here is refused: a guard must not guess."""

OWN_RULE = "It is the site's own rule (local/privacy.json); the run goes on without this reply"


class Refusal(Exception):
    """A reply that must not leave the site; the reason goes to the server in its place."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason, self.fix = reason, fix


@dataclass(frozen=True)
class Outgoing:
    """A reply of this package's executor.

    Attributes:
        task: its task.
        kind: what it holds (see `SENDS`), or "error" for a reply that says why a task failed.
        info: its facts.
        tensors: its tensors by name.
        is_difference: whether they are a difference to weights that the server holds.
    """

    task: str
    kind: str
    info: dict[str, Any]
    tensors: dict[str, Tensor]
    is_difference: bool


def is_without_content(shareable: Shareable) -> bool:
    """Tell a reply that NVFlare made itself, with a return code and nothing else."""
    return bool(shareable.get_return_code() not in (None, ReturnCode.OK))


def open_reply(shareable: Shareable, fl_ctx: FLContext) -> Outgoing:
    """Look into a reply.

    Raises:
        Refusal: it is none of this package, or of a task that nobody described.
    """
    task = str(fl_ctx.get_prop(FLContextKey.TASK_NAME) or "")
    fix = "Ask the coordinator what the job wants; the site's policy allows known tasks only"
    if task not in SENDS:
        raise Refusal(f"the site's policy does not know the task {task!r}", fix)
    try:
        dxo = from_shareable(shareable)
    except Exception as error:
        raise Refusal(f"the reply to {task} holds no data that can be checked", fix) from error
    head = (dxo.meta or {}).get(HEADER)
    if not isinstance(head, dict) or not isinstance(head.get("info"), dict):
        raise Refusal(f"the reply to {task} is not of this package", fix)
    tensors = dxo.data or {}
    wrong = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if wrong:
        raise Refusal(f"the reply to {task} holds {wrong[0]}, which is no tensor", fix)
    kind = "error" if "error" in head["info"] else SENDS[task]
    return Outgoing(task, kind, head["info"], dict(tensors), dxo.data_kind == DataKind.WEIGHT_DIFF)


def refused(refusal: Refusal, fl_ctx: FLContext) -> Shareable:
    """Return the reply that says why nothing was sent; the server records it with the site's name."""
    shown = {"where": fl_ctx.get_identity_name(), "reason": refusal.reason, "fix": refusal.fix}
    return to_shareable(Message({"error": shown}))


def changed(outgoing: Outgoing, info: dict[str, Any], tensors: dict[str, Tensor]) -> Shareable:
    """Return the reply with other facts and tensors."""
    return to_shareable(Message({**outgoing.info, **info}, tensors, outgoing.is_difference))
