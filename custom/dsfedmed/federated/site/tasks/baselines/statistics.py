# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_local_statistics``: a round of SiloBN. Batch statistics stay; everything else is averaged.

Files in ``local_layers/``: as of FedBN, with the statistics in place of whole layers.
"""

from __future__ import annotations

import torch
from torch import nn

from dsfedmed.algorithms.local_layers import statistics_names, take_statistics
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.local_layers import train_but_for
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest

IMAGES = 16
"""In a batch of which statistics are taken."""


def train_shared(site: SiteContext, request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
    """Do the round of SiloBN."""
    return train_but_for(statistics_names, site, request)


def adapt(site: SiteContext, body: EvaluateRequest, network: nn.Module) -> None:
    """Give the server's network the statistics of the site's own training images; no label is read.

    Raises:
        DataError: the site has no such images.
    """
    images = site.images("training", body.common.light)
    take_statistics(network, (batch.to(site.config.device) for batch in torch.split(images, IMAGES)))
