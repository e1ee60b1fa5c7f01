# SPDX-License-Identifier: Apache-2.0
"""What goes between server and sites: a typed body, tensors by name, and for a reply a header; and its raw form.

`Message` is the raw form that a transport carries: JSON and tensors. `Envelope` is what server and sites work with.
Nothing but this file and the codec looks into the raw form.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

from torch import Tensor

from dsfedmed.errors import DSFedMedError, PayloadError, without_paths
from dsfedmed.exchange.tensors import byte_count, require_plain
from dsfedmed.federated.wire.codec import SAME_VERSION, from_json, to_object
from dsfedmed.federated.wire.task import ReplyT, RequestT, Task
from dsfedmed.ranges import Name, Nonnegative, OptionalSha256, Real, Round, Steps, Tag, Text
from dsfedmed.store.json_types import JsonObject

CACHED_ROUNDS = 3
"""Rounds for which a site keeps what it needs to answer the same request again."""
BODY, HEADER, ERROR = "body", "header", "error"
BodyT = TypeVar("BodyT")


@dataclass(frozen=True)
class Message:
    """The raw form: JSON, tensors, and whether the tensors are a difference to weights that the receiver holds."""

    info: JsonObject = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    is_difference: bool = False


@dataclass(frozen=True)
class UpdateHeader:
    """How an update is packed for the wire.

    Attributes:
        training: name of the training run it belongs to.
        round: its round.
        precision: number format.
        layout: hash over names and shapes; empty before it is packed.
    """

    training: Name
    round: Round
    precision: Literal["fp32", "fp16", "int8"]
    layout: OptionalSha256 = ""


@dataclass(frozen=True)
class PrivacyStatement:
    """What a site's noise filter states about a reply, for the run's record.

    Attributes:
        mechanism: "gaussian".
        clip: bound of the update's norm.
        noise_multiplier: standard deviation of the noise in units of the bound.
        epsilon: spent by all releases of the site so far; None for infinite.
        delta: probability for which epsilon holds.
        releases: noisy updates so far.
    """

    mechanism: Literal["gaussian"]
    clip: Nonnegative
    noise_multiplier: Nonnegative
    epsilon: Nonnegative | None
    delta: Nonnegative
    releases: Steps


@dataclass(frozen=True)
class ReplyHeader:
    """What goes with every reply.

    Attributes:
        seconds: that the task took at the site.
        scalars: numbers for the tracking, by tag.
        step: the round (or step) they belong to.
        update: how the tensors are packed, where they are an update.
        privacy: what the site's noise filter states.
    """

    seconds: Nonnegative = 0.0
    scalars: dict[Tag, Real] = field(default_factory=dict)
    step: Round = 0
    update: UpdateHeader | None = None
    privacy: PrivacyStatement | None = None


@dataclass(frozen=True)
class SiteError:
    """Why a site did not do a task: without file names, which can name patients.

    Attributes:
        where: the site.
        reason: what went wrong.
        fix: what can be done about it.
    """

    where: Text
    reason: Text
    fix: Text


@dataclass(frozen=True)
class Envelope(Generic[BodyT]):
    """A typed message.

    Attributes:
        body: the request or reply.
        tensors: by name.
        is_difference: whether they are a difference to weights that the receiver holds.
        header: of a reply.
    """

    body: BodyT
    tensors: dict[str, Tensor] = field(default_factory=dict)
    is_difference: bool = False
    header: ReplyHeader = field(default_factory=ReplyHeader)

    @property
    def byte_count(self) -> int:
        """Bytes of the tensors."""
        return byte_count(self.tensors)

    def without_tensors(self) -> Envelope[BodyT]:
        """Return body and header alone."""
        return replace(self, tensors={})


def request_message(request: Envelope[RequestT]) -> Message:
    """Return the raw form of a request."""
    return Message({BODY: to_object(request.body)}, request.tensors, request.is_difference)


def open_request(task: Task[RequestT, ReplyT], message: Message, sender: str = "server") -> Envelope[RequestT]:
    """Return a request of a task.

    Raises:
        PayloadError: it is not one of this task, or a tensor is none of plain numbers.
    """
    _require_keys(message, {BODY}, sender)
    require_plain(message.tensors, sender)
    return Envelope(from_json(task.request, message.info[BODY], sender), message.tensors, message.is_difference)


def reply_message(reply: Envelope[ReplyT]) -> Message:
    """Return the raw form of a reply."""
    info: JsonObject = {BODY: to_object(reply.body), HEADER: to_object(reply.header)}
    return Message(info, reply.tensors, reply.is_difference)


def error_message(error: DSFedMedError | SiteError, site: str) -> Message:
    """Return the raw form of a reply that says why a task was not done, without folders of the site's machine.

    What the system says of a file that cannot be written names it with all folders above it.
    """
    reason, fix = (without_paths(text[:2000]) for text in (error.reason, error.fix))
    return Message({ERROR: to_object(SiteError(site[:200], reason, fix))})


def is_error(message: Message) -> bool:
    """Tell a reply that says why a task was not done."""
    return ERROR in message.info


def open_reply(task: Task[RequestT, ReplyT], message: Message, site: str) -> Envelope[ReplyT]:
    """Return a site's reply to a task.

    Raises:
        PayloadError: it is not one of this task, a tensor is none of plain numbers, or it says why the site did not do
            the task.
    """
    if is_error(message):
        _require_keys(message, {ERROR}, site)
        error = from_json(SiteError, message.info[ERROR], site)
        raise PayloadError(site, error.reason, error.fix)
    require_plain(message.tensors, site)
    body = from_json(task.reply, message.info.get(BODY), site)
    return Envelope(body, message.tensors, message.is_difference, open_header(message, site))


def open_header(message: Message, site: str) -> ReplyHeader:
    """Return a reply's header.

    Raises:
        PayloadError: it has none, or more than body and header.
    """
    _require_keys(message, {BODY, HEADER}, site)
    return from_json(ReplyHeader, message.info[HEADER], site)


def with_header(message: Message, header: ReplyHeader) -> Message:
    """Return a raw reply with another header."""
    return replace(message, info={**message.info, HEADER: to_object(header)})


def _require_keys(message: Message, keys: set[str], sender: str) -> None:
    if set(message.info) != keys:
        found = ", ".join(sorted(str(key)[:40] for key in message.info)) or "nothing"
        raise PayloadError(sender, f"sent a message of {found}", SAME_VERSION)
