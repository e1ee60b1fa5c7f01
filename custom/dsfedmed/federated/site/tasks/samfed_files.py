# SPDX-License-Identifier: Apache-2.0
"""What a site keeps between rounds of SAM-Fed: SAM's answers, the agreement so far, and its networks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from dsfedmed.algorithms.agreement import AgreementState
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import CACHED_ROUNDS
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.store.files import inside, read_tensors, write_tensors
from dsfedmed.training.distillation.soft_labels import decode_soft

ANSWERS = "answers"
AGREEMENT, LOCAL, OWN = "agreement", "local", "own"


def folder(site: SiteContext) -> Path:
    """Return where it lies."""
    return site.folder / "samfed"


def keep_answers(site: SiteContext, levels: Tensor) -> None:
    """Keep SAM's soft labels of the site's images, uint8 levels."""
    write_tensors(folder(site) / f"{ANSWERS}.safetensors", {ANSWERS: levels})


def answers(site: SiteContext, count: int, num_classes: int) -> Tensor:
    """Return SAM's soft labels of the site's ``count`` images as probabilities.

    Raises:
        PayloadError: the site has none.
    """
    path = folder(site) / f"{ANSWERS}.safetensors"
    if not path.exists():
        raise PayloadError(site.name, "has no answers of SAM", "It missed the task dsf_label; it is asked again")
    return decode_soft(read_tensors(path)[ANSWERS], count, num_classes, path.name)


def keep_agreement(site: SiteContext, facts: RoundFacts, state: AgreementState) -> None:
    """Keep the agreement of this round, and remove what is too old to be asked for."""
    kept = {"rate": state.rate, "confidence": state.confidence, "steps": torch.tensor(state.steps)}
    write_tensors(round_file(site, facts.training, AGREEMENT, facts.round), kept)
    for kind in (AGREEMENT, LOCAL, OWN):
        round_file(site, facts.training, kind, facts.round - CACHED_ROUNDS).unlink(missing_ok=True)


def agreement(site: SiteContext, facts: RoundFacts, num_classes: int) -> AgreementState:
    """Return the agreement of the round before; a new one where there is none."""
    path = round_file(site, facts.training, AGREEMENT, facts.round - 1)
    if not path.exists():
        return AgreementState(confidence=torch.ones(num_classes, 2))
    kept = read_tensors(path)
    return AgreementState(kept["rate"], kept["confidence"], int(kept["steps"]))


def keep_network(site: SiteContext, facts: RoundFacts, kind: str, weights: Weights) -> None:
    """Keep a network's weights of this round."""
    write_tensors(round_file(site, facts.training, kind, facts.round), weights)


def latest_network(site: SiteContext, training: str, before: int | None = None) -> Weights:
    """Return the weights of the site's own network of its last round (before ``before``); empty if there is none."""
    files = sorted(folder(site).glob(f"{training}-{OWN}-*.safetensors"))
    if before is not None:
        limit = round_file(site, training, OWN, before).name
        files = [path for path in files if path.name < limit]
    return read_tensors(files[-1]) if files else {}


def round_file(site: SiteContext, training: str, kind: str, number: int) -> Path:
    """Return the file of one kind and round."""
    return inside(folder(site), f"{training}-{kind}-{number:04d}.safetensors")
