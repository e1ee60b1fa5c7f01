# SPDX-License-Identifier: Apache-2.0
"""A filter that lets out of a site only what the site named: kinds, bytes, finite numbers, nothing like an image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from nvflare.apis.filter import Filter
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from torch import Tensor

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.tensors import byte_count
from dsfedmed.federated.wire.message import BODY
from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.flare.privacy.outgoing import (
    OWN_RULE,
    Outgoing,
    Refusal,
    is_without_content,
    open_outgoing,
    refused,
)
from dsfedmed.flare.site_folder import site_folder
from dsfedmed.ranges import MOST_CHANNELS
from dsfedmed.store.files import read_json, write_json
from dsfedmed.store.json_types import Json, JsonObject

KINDS = tuple(dict.fromkeys(task.sends for task in TASKS.values()))
OPEN = tuple(kind for kind in KINDS if kind != "amplitudes")
"""What may leave where a site says nothing else: amplitudes tell of single images."""
WITHOUT_TENSORS = ("facts", "statistics", "error")
MASKS = ("none", "deformed", "drawn")
IMAGE_SIDE = 32
FACTS_MIB = 4.0
MIB = 2**20
LEDGER = "egress.json"


class EgressGuard(Filter):  # type: ignore[misc]
    """Stands in ``task_result_filters`` of a site's ``privacy.json``; a reply that breaks a rule does not leave.

    In its place goes a refusal with the reason, so that the run goes on without it and its record says so. What did
    leave is summed up by kind in ``egress.json`` in the site's own folder. Bytes are those of the tensors as the
    guard sees them, before the job packs them: what crosses the wire is never more.

    The rules: facts are plain JSON of at most 4 MiB; float tensors are finite; integers occur only in masks (bit
    planes), in the audit's verdict (indices) and in answers; and no float tensor is shaped like images, that is with
    two axes of 32 or more at its end, or before a last axis of at most sixteen channels. Weights of convolutions are
    smaller and matrices have two axes; SAM's table of positions is the exception, by name.

    The shape rule stops mistakes and other people's tasks. It does not stop a network that was made to hide images in
    its weights: that is what the reviewed package, and a site's ban of code in jobs, are for.

    Args:
        allow: kinds that may leave: facts, verdict, masks, branch, update, network (of the baseline "local"), answers
            (SAM-Fed's heterogeneous sites: 8-bit masks that their network draws on the public images), statistics
            (FedRDN: mean and spread of each channel, no tensors), amplitudes (FedDG: low frequencies of single images;
            not unless they are named here, and `send_amplitudes` is on in ``dsfedmed.yaml``).
        masks: "none", "deformed", or "drawn" for the hospital's drawn masks as they are.
        max_message_mib: largest reply.
        max_run_mib: largest sum of a run; a run that is continued continues the sum.
        max_branch_numbers: largest generator branch, in numbers.
        not_images: names of float tensors that are known not to be images.

    Raises:
        ConfigError: an argument is none of those above.
    """

    def __init__(
        self,
        allow: Sequence[str] = OPEN,
        masks: str = "deformed",
        max_message_mib: float | None = None,
        max_run_mib: float | None = None,
        max_branch_numbers: int | None = None,
        not_images: Sequence[str] = ("image_encoder.pos_embed",),
    ) -> None:
        super().__init__()
        unknown = sorted(set(allow) - set(KINDS))
        if unknown:
            raise ConfigError("EgressGuard", f"allow names {unknown[0]!r}", f"Kinds are {', '.join(KINDS)}")
        if masks not in MASKS:
            raise ConfigError("EgressGuard", f"masks is {masks!r}", f"Choose one of {', '.join(MASKS)}")
        self.allow, self.masks = tuple(allow), masks
        self.max_message_mib, self.max_run_mib = max_message_mib, max_run_mib
        self.max_branch_numbers, self.not_images = max_branch_numbers, tuple(not_images)

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Return the reply, or the refusal that leaves in its place."""
        if is_without_content(shareable):
            return shareable
        ledger = site_folder(fl_ctx) / LEDGER
        try:
            outgoing = open_outgoing(shareable, fl_ctx)
            self._check(outgoing)
            self._count(outgoing, ledger)
        except Refusal as refusal:
            self.log_warning(fl_ctx, f"not sent: {refusal.reason}")
            _note(ledger, "refused", 0)
            return refused(refusal, fl_ctx)
        return shareable

    def _check(self, outgoing: Outgoing) -> None:
        if outgoing.kind not in self.allow and outgoing.kind != "error":
            raise Refusal(f"the site does not send its {outgoing.kind}", OWN_RULE)
        check_facts(outgoing.message.info)
        special = {"masks": self._check_masks, "verdict": _check_verdict, "answers": _check_answers}
        special["amplitudes"] = _check_amplitudes
        special.get(outgoing.kind, self._check_floats)(outgoing)
        size = byte_count(outgoing.tensors) / MIB
        if self.max_message_mib is not None and size > self.max_message_mib:
            raise Refusal(f"{size:.1f} MiB in one reply; the site allows {self.max_message_mib:g}", OWN_RULE)

    def _check_floats(self, outgoing: Outgoing) -> None:
        if outgoing.kind in WITHOUT_TENSORS and outgoing.tensors:
            raise Refusal(f"the reply to {outgoing.task} holds tensors, and only facts were announced", OWN_RULE)
        if outgoing.kind == "branch" and self.max_branch_numbers is not None:
            numbers = sum(tensor.numel() for tensor in outgoing.tensors.values())
            if numbers > self.max_branch_numbers:
                raise Refusal(f"a branch of {numbers} numbers; the site allows {self.max_branch_numbers}", OWN_RULE)
        for name, tensor in outgoing.tensors.items():
            if not tensor.is_floating_point():
                raise Refusal(f"{name} holds {tensor.dtype}, and weights are floating point", OWN_RULE)
            _require_finite(name, tensor)
            if looks_like_images(tensor) and name.rpartition("/")[2] not in self.not_images:
                raise Refusal(f"{name} is shaped like images: {tuple(tensor.shape)}", OWN_RULE)

    def _check_masks(self, outgoing: Outgoing) -> None:
        kind = str(_body(outgoing).get("kind"))
        if self.masks == "none" or kind not in MASKS[1:] or MASKS.index(kind) > MASKS.index(self.masks):
            raise Refusal(f"the site does not send {kind} masks (it allows: {self.masks})", OWN_RULE)
        _require(outgoing, {"planes": (torch.uint8, 2), "shape": (torch.int64, 1)})

    def _count(self, outgoing: Outgoing, ledger: Path) -> None:
        sent = byte_count(outgoing.tensors) + len(json.dumps(outgoing.message.info))
        total = sum(entry["bytes"] for entry in _read(ledger).values()) + sent
        if self.max_run_mib is not None and total > self.max_run_mib * MIB:
            raise Refusal(f"{total / MIB:.1f} MiB in this run; the site allows {self.max_run_mib:g}", OWN_RULE)
        _note(ledger, outgoing.kind, sent)


def check_facts(info: Mapping[str, Json]) -> None:
    """Refuse facts that are more than plain JSON of a few MiB."""
    try:
        size = len(json.dumps(info))
    except (TypeError, ValueError) as error:
        raise Refusal(f"the facts are not plain JSON ({error})", OWN_RULE) from error
    if size > FACTS_MIB * MIB:
        raise Refusal(f"{size / MIB:.1f} MiB of facts; {FACTS_MIB:g} are enough", OWN_RULE)


def _body(outgoing: Outgoing) -> JsonObject:
    body = outgoing.message.info.get(BODY)
    return body if isinstance(body, dict) else {}


def looks_like_images(tensor: Tensor) -> bool:
    """Tell a shape (..., X, Y) or (..., X, Y, C) with three axes or more, X and Y at least 32, C at most 16."""
    if tensor.ndim < 3:
        return False
    *_, z, y, x = tensor.shape
    return min(y, x) >= IMAGE_SIDE or (x <= MOST_CHANNELS and min(z, y) >= IMAGE_SIDE)


def _check_verdict(outgoing: Outgoing) -> None:
    _require(outgoing, {"vetoed": (torch.int64, 1), "distances": (torch.float32, 1)})


def _check_amplitudes(outgoing: Outgoing) -> None:
    _require(outgoing, {"amplitudes": (torch.float32, 4)})


def _check_answers(outgoing: Outgoing) -> None:
    _require(outgoing, {"levels": (torch.uint8, 4)})


def _require(outgoing: Outgoing, expected: Mapping[str, tuple[torch.dtype, int]]) -> None:
    found = {name: (tensor.dtype, tensor.ndim) for name, tensor in outgoing.tensors.items()}
    if found != dict(expected):
        raise Refusal(
            f"the reply to {outgoing.task} holds {sorted(found)}, not {sorted(expected)} as announced", OWN_RULE
        )
    for name, tensor in outgoing.tensors.items():
        _require_finite(name, tensor)


def _require_finite(name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise Refusal(f"{name} is not finite", OWN_RULE)


def _read(ledger: Path) -> dict[str, dict[str, int]]:
    return dict(read_json(ledger)) if ledger.exists() else {}


def _note(ledger: Path, kind: str, size: int) -> None:
    entries = _read(ledger)
    entry = entries.get(kind, {"replies": 0, "bytes": 0})
    entries[kind] = {"replies": entry["replies"] + 1, "bytes": entry["bytes"] + size}
    write_json(ledger, entries)
