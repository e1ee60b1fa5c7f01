# SPDX-License-Identifier: Apache-2.0
"""Methods of others for sites without labels, in SAM-Fed's setting; FedAvg of the light network.

FixMatch (Sohn et al., NeurIPS 2020, arXiv 2001.07685), Mean Teacher (Tarvainen and Valpola, NeurIPS 2017, arXiv
1703.01780).
"""

from __future__ import annotations

from dsfedmed.federated.methods.public_labels import PublicLabels


class FixMatch(PublicLabels):
    """Sites that learn from public labels and from their own sure answers."""

    METHOD = "fixmatch"


class MeanTeacher(PublicLabels):
    """Sites that learn from public labels and from a running mean of their own network, which stays."""

    METHOD = "meanteacher"
