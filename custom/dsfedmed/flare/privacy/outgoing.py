# SPDX-License-Identifier: Apache-2.0
"""What the privacy filters share: a reply on its way out, and the refusal that may leave in its place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nvflare.apis.dxo import DataKind, from_shareable
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.federated.wire.message import (
    Message,
    ReplyHeader,
    SiteError,
    error_message,
    is_error,
    open_reply,
    with_header,
)
from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.flare.codec import SEAL, open_meta, require_plain_numbers, to_shareable

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
        kind: what its tensors are (``sends`` of the task's entry), or "error" for a reply that says why a task failed.
        message: the raw reply.
        header: its header; an empty one for an error.
    """

    task: str
    kind: str
    message: Message
    header: ReplyHeader = field(default_factory=ReplyHeader)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        return self.message.tensors


def is_without_content(shareable: Shareable) -> bool:
    """Tell a reply that NVFlare made itself, with a return code and nothing else."""
    return bool(shareable.get_return_code() not in (None, ReturnCode.OK))


def open_outgoing(shareable: Shareable, fl_ctx: FLContext) -> Outgoing:
    """Look into a reply.

    Raises:
        Refusal: it is none of this package, of a task that nobody described, or not of its task's type.
    """
    name = str(fl_ctx.get_prop(FLContextKey.TASK_NAME) or "")
    fix = "Ask the coordinator what the job wants; the site's policy allows known tasks only"
    if name not in TASKS:  # a guard must not guess
        raise Refusal(f"the site's policy does not know the task {name!r}", fix)
    try:
        dxo = from_shareable(shareable)
    except Exception as error:
        raise Refusal(f"the reply to {name} holds no data that can be checked", fix) from error
    try:
        require_plain_numbers(dxo.meta, name)
    except PayloadError as error:
        raise Refusal(f"the reply to {name} cannot be checked: it {error.reason}", error.fix) from error
    tensors = dict(dxo.data or {})
    wrong = [key for key, value in tensors.items() if not isinstance(value, Tensor)]
    if wrong:
        raise Refusal(f"the reply to {name} holds {wrong[0]}, which is not a tensor", fix)
    try:
        info, _ = open_meta((dxo.meta or {}).get(SEAL), "the site")
        message = Message(info, tensors, dxo.data_kind == DataKind.WEIGHT_DIFF)
        if is_error(message):
            return Outgoing(name, "error", message)
        return Outgoing(name, TASKS[name].sends, message, open_reply(TASKS[name], message, "the site").header)
    except PayloadError as error:
        raise Refusal(f"the reply to {name} is not of this package ({error.reason})", fix) from error


def refused(refusal: Refusal, fl_ctx: FLContext) -> Shareable:
    """Return the reply that says why nothing was sent; the server records it with the site's name."""
    site = fl_ctx.get_identity_name()
    return to_shareable(error_message(SiteError(site, refusal.reason, refusal.fix), site))


def changed(outgoing: Outgoing, header: ReplyHeader, tensors: dict[str, Tensor]) -> Shareable:
    """Return the reply with another header and tensors."""
    return to_shareable(with_header(replace(outgoing.message, tensors=tensors), header))
