# SPDX-License-Identifier: Apache-2.0
"""Methods of others for sites without labels, in SAM-Fed's setting; FedAvg of the light network.

FixMatch (Sohn et al., NeurIPS 2020, arXiv 2001.07685), Mean Teacher (Tarvainen and Valpola, NeurIPS 2017, arXiv
1703.01780), LSSL (the homogeneous sibling of HSSF: Ma et al., IEEE TMI 2023, DOI 10.1109/TMI.2023.3348982).
"""

from __future__ import annotations

from dsfedmed.algorithms.aggregation import UniformMean
from dsfedmed.federated.methods.public_labels import PublicLabels
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.networks.self_assessed import SelfAssessed
from dsfedmed.options import require
from dsfedmed.training.baselines.unlabelled import assessed_batch_loss
from dsfedmed.training.semi_supervised.public import PublicLoss


class FixMatch(PublicLabels):
    """Sites that learn from public labels and from their own sure answers."""

    METHOD = "fixmatch"


class MeanTeacher(PublicLabels):
    """Sites that learn from public labels and from a running mean of their own network, which stays."""

    METHOD = "meanteacher"


class Lssl(PublicLabels):
    """Sites that learn from public labels first, and then where a second head says that their own answers are right.

    Every site counts alike in the mean, however many images it has.
    """

    METHOD = "lssl"
    MEAN_OF = UniformMean

    def public_passes(self) -> int:
        """Return the passes over the public set that come first: as many as over the own images."""
        return self.settings.light.epochs_per_round

    def start_loss(self) -> PublicLoss | None:
        """Return the loss that the sites have on public images: the confidences learn in the start as well."""
        return assessed_batch_loss

    def require_network(self, plan: FederationPlan) -> None:
        """Raise ``ConfigError`` where the light network has no confidences."""
        known = isinstance(plan.light_network(), SelfAssessed)
        reason = f"{plan.settings.light.bundle} has no confidences"
        require(known, "light.bundle", reason, "Choose light_assessed_unet_segmentation")
