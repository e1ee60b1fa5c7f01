# SPDX-License-Identifier: Apache-2.0
"""Curves in Weights & Biases, written offline."""

from __future__ import annotations

from nvflare.app_opt.tracking.wandb.wandb_receiver import WandBReceiver

from dsfedmed.flare.receivers.with_server import WithServer


class WandB(WithServer, WandBReceiver):  # type: ignore[misc]
    """NVFlare's receiver, for the server's curves too."""
