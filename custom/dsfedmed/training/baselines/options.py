# SPDX-License-Identifier: Apache-2.0
"""Options of the methods that DSFedMed, SAM-Fed and pFedSAM are held against: what a preset says under ``method``."""

from __future__ import annotations

from dataclasses import dataclass

from dsfedmed.options import MethodOptions, require


@dataclass(frozen=True)
class MomentumOptions(MethodOptions):
    """Options of FedAvgM.

    Attributes:
        learning_rate: the server's, on the mean difference; above 0.
        momentum: beta, in [0, 1); 0 with a rate of 1 is FedAvg.
    """

    learning_rate: float = 1.0
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        _above_zero("learning_rate", self.learning_rate, "0.1")
        _below_one("momentum", self.momentum)


@dataclass(frozen=True)
class AdaptiveOptions(MomentumOptions):
    """Options of FedAdam and FedYogi.

    Attributes:
        learning_rate: the server's; above 0.
        momentum: beta_1, in [0, 1).
        second: beta_2, in [0, 1).
        tau: how far from adaptive, above 0.
    """

    learning_rate: float = 0.01
    second: float = 0.99
    tau: float = 1e-3

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        super().__post_init__()
        _above_zero("tau", self.tau, "0.001")
        _below_one("second", self.second)


@dataclass(frozen=True)
class ContrastOptions(MethodOptions):
    """Options of MOON.

    Attributes:
        contrast_weight: mu, of the contrastive loss; 0 or more. The paper tries 0.1, 1, 5 and 10.
        temperature: tau, above 0; the paper's is 0.5.
    """

    contrast_weight: float = 1.0
    temperature: float = 0.5

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(self.contrast_weight >= 0, "method.contrast_weight", "it is negative", "Give 0 or more")
        _above_zero("temperature", self.temperature, "0.5")


@dataclass(frozen=True)
class DittoOptions(MethodOptions):
    """Options of Ditto.

    Attributes:
        pull: lambda, of the pull to the global weights; 0 or more. 0 is each site alone; the paper tries 0.1, 1 and 2.
    """

    pull: float = 0.1

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(self.pull >= 0, "method.pull", "it is negative", "Give 0 or more")


@dataclass(frozen=True)
class GapOptions(MethodOptions):
    """Options of FedDG-GA.

    Attributes:
        step: d, by which the weights of the mean follow the sites' gaps in the first rounds, in (0, 1]; it falls
            linearly to 0 over the rounds. The paper's is 0.2.
    """

    step: float = 0.2

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(0 < self.step <= 1, "method.step", f"{self.step} is not above 0 and at most 1", "Give 0.2")


@dataclass(frozen=True)
class AmplitudeOptions(MethodOptions):
    """Options of FedDG's exchange of amplitudes.

    Attributes:
        band: L, share of an image's side up to which frequencies are exchanged, from 0, the mean brightness alone, to
            0.49. The authors' loader for fundus images has 0.
        images: most training images of a site whose amplitudes leave it, 1 to 1,000.
    """

    band: float = 0.1
    images: int = 64

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(0 <= self.band <= 0.49, "method.band", f"{self.band} is not between 0 and 0.49", "Give 0.1")
        require(1 <= self.images <= 1000, "method.images", f"{self.images} is not from 1 to 1,000", "Give 64")


@dataclass(frozen=True)
class HeadOptions(MethodOptions):
    """Options of FedRep.

    Attributes:
        head_epochs: passes over the site's images in which its head alone learns, before the ``light.epochs_per_round``
            in which the representation alone does; 0 trains both together in the latter (FedPer). The paper
            takes 10, and 1 or 5 of the representation.
        head_layers: convolutions and linear layers of the head, from the last one on; 0 begins it with the last layer
            that gets more channels than the network gives.
    """

    head_epochs: int = 1
    head_layers: int = 0

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(self.head_epochs >= 0, "method.head_epochs", "it is negative", "Give 1 or more, or 0 for FedPer")
        require(self.head_layers >= 0, "method.head_layers", "it is negative", "Give 1 or more, or 0 to find the head")


@dataclass(frozen=True)
class FineTuneOptions(MethodOptions):
    """Options of FedAvg with fine-tuning.

    Attributes:
        epochs: passes over a site's images after the rounds; 1 or more.
        rate_factor: of the learning rate that the rounds began with, above 0 to 1; it falls over these passes as
            ``light.rate_schedule`` says.
    """

    epochs: int = 5
    rate_factor: float = 1.0

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        require(self.epochs > 0, "method.epochs", "nothing would be fine-tuned", "Give 1 or more")
        require(0 < self.rate_factor <= 1, "method.rate_factor", "it is not above 0 to 1", "Give 0.3")


def _above_zero(name: str, value: float, example: str) -> None:
    require(value > 0, f"method.{name}", "it is not above 0", f"Give {example}")


def _below_one(name: str, value: float) -> None:
    require(0 <= value < 1, f"method.{name}", f"{value} is not in [0, 1)", "Give 0.9")
