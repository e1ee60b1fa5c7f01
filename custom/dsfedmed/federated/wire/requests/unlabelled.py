# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_unlabelled``: a round of a site without labels, by methods of others."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.data.manifest import Manifest
from dsfedmed.federated.wire.specs import RoundFacts, RunFacts
from dsfedmed.training.baselines.unlabelled_options import UnlabelledOptions


@dataclass(frozen=True)
class UnlabelledRequest:
    """A round of a site without labels; the global weights come as tensors.

    Attributes:
        common: of the run.
        round: which round.
        public: the public set.
        config: the method's options, which say what method it is.
    """

    common: RunFacts
    round: RoundFacts
    public: Manifest
    config: UnlabelledOptions
