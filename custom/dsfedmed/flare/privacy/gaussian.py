# SPDX-License-Identifier: Apache-2.0
"""A filter that clips every update of a site and adds Gaussian noise, and keeps the account of what that protects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from nvflare.apis.filter import Filter
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from torch import Tensor

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.accounting import epsilon_of
from dsfedmed.exchange.noise import add_gaussian, clip_to_norm
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.wire.message import BODY, PrivacyStatement
from dsfedmed.flare.privacy.ledger import PrivacyLedger
from dsfedmed.flare.privacy.outgoing import (
    OWN_RULE,
    Outgoing,
    Refusal,
    changed,
    is_without_content,
    open_outgoing,
    refused,
)
from dsfedmed.flare.site_folder import RUN, local_folder

FILE = "privacy_budget-{site}.json"
SENSITIVITY = 2.0
"""In units of the clipping norm C: two updates of norm C or less are at most 2 C apart."""
NETWORKS = ("branch", "network")
DRAWN_BY = "shake256"
"""Part of a release's key: the same seed gave other noise in version 0.3, which is another release."""


class GaussianMechanism(Filter):  # type: ignore[misc]
    """Stands in ``task_result_filters`` of a site's ``privacy.json``, before an `EgressGuard`.

    Every update u (difference of weights, all tensors as one vector) leaves as u min(1, C / |u|) + N(0, (z C)^2) with C
    = ``clip`` and z = ``noise_multiplier``. Whatever the site's images are replaced by, the vector under the noise
    moves by 2 C at most, so a release is 2 / z-GDP, and all releases of the site together, over rounds and runs, have
    the (epsilon, delta) that the reply states (`dsfedmed.exchange.accounting`). The unit is the whole site and
    the server itself is not trusted; that is stronger, and dearer, than what DP-SGD at a trusted site gives per image.

    A request that comes twice gets the same noise again, never a second draw. Noise is drawn before the job's own
    filter packs the update, and rounding afterwards costs nothing. Where the budget is used up the site refuses.

    Not covered: a branch and the baseline "local" leave as whole weights and are refused unless ``networks`` says
    "pass", or "private" for branches that were fitted with differential privacy, which have an account of their own
    (`dsfedmed.federated.site.branch_account`). Masks, the audit's verdict, per-case metrics, losses and validation
    scores leave as they are (an `EgressGuard` can forbid them). Running variances of batch normalisation may become
    negative under noise, and the update of the next round is then refused as not finite: use networks without them.

    Args:
        clip: C, one number, or one for each of the tasks ``dsf_train`` and ``dsf_base``.
        noise_multiplier: z, above 0.
        delta: probability for which epsilon is stated.
        max_epsilon: the site's budget over all runs; none by default.
        networks: "refuse" or "pass" whole weights, or let "private" branches pass alone.
        account: file of the site's account, the same for all runs; by default one in ``local``, which is read-only in
            the containers of `nvflare deploy`.

    Raises:
        ConfigError: an argument is out of its range.
    """

    def __init__(
        self,
        clip: float | Mapping[str, float],
        noise_multiplier: float,
        delta: float = 1e-5,
        max_epsilon: float | None = None,
        networks: str = "refuse",
        account: str | None = None,
    ) -> None:
        super().__init__()
        norms = dict(clip) if isinstance(clip, Mapping) else {"dsf_train": clip, "dsf_base": clip}
        ranges = {
            "clip": bool(norms) and all(norm > 0 for norm in norms.values()),
            "noise_multiplier": noise_multiplier > 0,
            "delta": 0 < delta < 1,
            "networks": networks in ("refuse", "pass", "private"),
        }
        wrong = [name for name, is_good in ranges.items() if not is_good]
        if wrong:
            raise ConfigError("GaussianMechanism", f"{wrong[0]} is out of its range", "Correct local/privacy.json")
        self.clip, self.noise_multiplier, self.delta = norms, noise_multiplier, delta
        self.max_epsilon, self.networks, self.account = max_epsilon, networks, account

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Return the noisy reply, any other reply as it is, or a refusal."""
        if is_without_content(shareable):
            return shareable
        try:
            outgoing = open_outgoing(shareable, fl_ctx)
            if outgoing.kind in NETWORKS and outgoing.tensors and not self._passes(outgoing):
                raise Refusal(f"the site sends its {outgoing.kind} to nobody: no noise covers whole weights", OWN_RULE)
            if outgoing.kind != "update" or not outgoing.tensors:
                return shareable
            named = FILE.format(site=fl_ctx.get_identity_name())
            budget = PrivacyLedger(Path(self.account) if self.account else local_folder(fl_ctx) / named)
            return self._release(outgoing, budget, str(fl_ctx.get_prop(RUN) or "run"))
        except Refusal as refusal:
            self.log_warning(fl_ctx, f"not sent: {refusal.reason}")
            return refused(refusal, fl_ctx)

    def _passes(self, outgoing: Outgoing) -> bool:
        """Tell whether whole weights may leave: any, or a branch whose site states what it costs."""
        body = outgoing.message.info.get(BODY)
        stated = outgoing.kind == "branch" and isinstance(body, dict) and body.get("privacy") is not None
        return self.networks == "pass" or (self.networks == "private" and stated)

    def _release(self, outgoing: Outgoing, budget: PrivacyLedger, run: str) -> Shareable:
        bound = self.clip.get(outgoing.task)
        if bound is None or not outgoing.message.is_difference:
            raise Refusal(f"no clipping norm is set for what {outgoing.task} sends", OWN_RULE)
        try:
            clipped = clip_to_norm(outgoing.tensors, bound)
        except ValueError as error:
            raise Refusal(f"the update cannot be clipped ({error})", OWN_RULE) from error
        update = outgoing.header.update
        training, number = (update.training, update.round) if update else ("", outgoing.header.step)
        key = f"{run}/{outgoing.task}/{training}/{number}/{digest(clipped)}/{DRAWN_BY}"
        release = budget.get_or_create(key, SENSITIVITY / self.noise_multiplier)
        epsilon = epsilon_of(budget.total_with(release), self.delta)
        if self.max_epsilon is not None and epsilon > self.max_epsilon:
            raise Refusal(f"the site's privacy budget is used up (epsilon {self.max_epsilon:g})", OWN_RULE)
        budget.record(release)
        noisy = add_gaussian(clipped, self.noise_multiplier * bound, release.seed)
        shown = epsilon if math.isfinite(epsilon) else None
        releases = len(budget.releases())
        statement = PrivacyStatement("gaussian", bound, self.noise_multiplier, shown, self.delta, releases)
        header = replace(outgoing.header, privacy=statement)
        return changed(outgoing, header, _as(noisy, outgoing.tensors))


def _as(noisy: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in the number format of the originals; float16 keeps what it can hold."""
    limits = {name: _largest(tensor) for name, tensor in original.items()}
    return {n: tensor.clamp(-limits[n], limits[n]).to(original[n].dtype) for n, tensor in noisy.items()}


def _largest(tensor: Tensor) -> float:
    return float(torch.finfo(tensor.dtype).max)
