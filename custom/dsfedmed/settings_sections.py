# SPDX-License-Identifier: Apache-2.0
"""The sections of a run's settings, each a dataclass with its defaults; `dsfedmed.settings` puts them together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dsfedmed.algorithms.schedules import Fade, RateSchedule
from dsfedmed.options import require


@dataclass(frozen=True)
class LightSettings:
    """The light network and its local training.

    Attributes:
        bundle: folder name of the MONAI bundle that defines network, loss, optimiser and transforms.
        batch_size: real images per gradient step.
        epochs_per_round: passes over the site's training images in one round.
        keep_optimizer: a site's optimiser state persists over rounds (released code) or starts anew.
        rate_schedule: the learning rate over the rounds, "constant" (paper) or "cosine", falling to near zero.
        ramp_steps: first steps of every round over which the learning rate rises to its value; 0 for none (paper).
        clip_norm: greatest norm of a step's gradients together; 0 for no bound (paper).
        precision: number format on the wire. "fp32" and "fp16" send whole weights down and differences up; "int8"
            sends differences both ways, eight bits a number and entropy coded. What rounding takes from a difference
            is added to the next one. Weights that travel once (a branch, a finished network) use half precision then.
        autocast: number format of the sites' training passes, "off" (float32), "bfloat16" or "float16"; weights, loss
            and update stay float32.
    """

    bundle: str = "light_unet_segmentation"
    batch_size: int = 16
    epochs_per_round: int = 1
    keep_optimizer: bool = True
    rate_schedule: RateSchedule = "constant"
    ramp_steps: int = 0
    clip_norm: float = 0.0
    precision: Literal["fp32", "fp16", "int8"] = "fp16"
    autocast: Literal["off", "bfloat16", "float16"] = "off"


@dataclass(frozen=True)
class GeneratorSettings:
    """How the generator is fitted; what it is stands in ``model`` (`dsfedmed.generator.GeneratorConfig`).

    Attributes:
        base: where the embedded base comes from: "fitted" by the sites together, or "given", as a file that the server
            has (`generator_base` of its own configuration; `dsfedmed pretrain-generator` makes one). The sites then
            spend no round on it, and it goes to them with the branches' task alone.
        base_rounds: rounds of FedAvg in which the sites train the base together (fitted).
        base_steps: gradient steps of a site in each of them (fitted).
        branch_steps: gradient steps of a site on its branch.
        branch_epsilon: fit the branch with differential privacy of each patient, at this epsilon (DP-SGD); 0: without,
            but where a site insists on it (``branch_privacy`` in its `dsfedmed.yaml`). The smaller of the two counts.
            It is a statement on the branch alone and needs a base that the sites do not fit: `given`, or a Stable
            Diffusion. A step draws ``generator_model.batch_size`` times ``accumulation`` patients in the mean.
        branch_delta: probability, below 1, for which the epsilon is stated; 0: 1 / (10 n) at a site of n patients.
        branch_clip: norm to which the gradient of each patient is cut (private).
        branch_draws: noise and timesteps of each drawn image, of which the mean gradient is taken (private). More of
            them cost time and no privacy.
    """

    base: Literal["fitted", "given"] = "fitted"
    base_rounds: int = 8
    base_steps: int = 75
    branch_steps: int = 800
    branch_epsilon: float = 0.0
    branch_delta: float = 0.0
    branch_clip: float = 1.0
    branch_draws: int = 1


@dataclass(frozen=True)
class SyntheticSettings:
    """The synthetic set and its audit.

    Attributes:
        per_site: image/mask pairs generated from each site's branch.
        shard_size: pairs in one file.
        audit_quantile: share of images that are no copies and that the audit vetoes all the same, from which it has
            its threshold; a site may ask for more (``audit_quantile`` in its `dsfedmed.yaml`), never for less.
        broadcast: sites keep the set that they audited, to train with it; if not, they delete it after the audit, and
            the server alone learns from it.
        max_veto_share: a site that vetoes more than this share of its own branch's images has none of them in the set,
            for then its branch repeats its training images; one that vetoes more than this share of the others' images
            is not heeded there, and trains without the set. Neither stops the run while ``min_sites`` take the set.
    """

    per_site: int = 450
    shard_size: int = 256
    audit_quantile: float = 0.01
    max_veto_share: float = 0.5
    broadcast: bool = True


@dataclass(frozen=True)
class ScheduleSettings:
    """When and where distillation happens.

    Attributes:
        order: "paper" distils after all rounds of FedAvg, on the server; "interleaved" every ``interval_rounds``.
        distil_at: the light network learns at the "server" (paper), at the "sites", or at "both".
        warmup_rounds: rounds of plain FedAvg before the first interleaved distillation.
        interval_rounds: rounds between two interleaved distillations.
        epochs: distillation epochs on the server each time (paper's 20 for the order "paper").
        head_start_steps: gradient steps of the light network at the server, on the sealed set with the teacher's soft
            labels, before the first round; 0 for none (paper). They count as steps of DSFedMed.
        head_start_learning_rate: the optimiser's, at the start; it falls to zero over these steps.
        head_start_ramp_steps: first of these steps over which the rate rises; 0 for none.
        joint_weight: factor of the mask loss on a batch of the set that the sites have beside every real batch, in one
            gradient step; 0 for none (paper).
        average_rounds: the network that the rounds end with is the mean of the global weights after each of the last
            so many rounds (stochastic weight averaging, arXiv 1803.05407); 0 for the best single round by the source
            sites' validation (paper), or what SAM-Fed's ``method.select`` says. It costs the sites no step, and one
            more validation.
        site_supervised_weight: factor of the mask loss on synthetic images at the sites and in the head start.
        site_kl_weight: factor of the pixel-mean divergence from the teacher's soft labels there.
        soft_label_ensemble: average the teacher over flips for its soft labels.
    """

    order: Literal["paper", "interleaved"] = "interleaved"
    distil_at: Literal["server", "sites", "both"] = "sites"
    warmup_rounds: int = 10
    interval_rounds: int = 10
    epochs: int = 1
    head_start_steps: int = 0
    head_start_learning_rate: float = 1e-2
    head_start_ramp_steps: int = 0
    joint_weight: float = 0.0
    average_rounds: int = 0
    site_supervised_weight: float = 0.25
    site_kl_weight: float = 2.5
    soft_label_ensemble: bool = True

    def __post_init__(self) -> None:
        """Refuse combinations that cannot be carried out."""
        require(
            self.order == "interleaved" or self.distil_at == "server",
            "schedule.distil_at",
            f"order 'paper' distils after the last round, so nothing is left for {self.distil_at!r}",
            "Use distil_at: server, or order: interleaved",
        )

    def distils_after(self, done: int) -> bool:
        """Tell whether an interleaved distillation comes after ``done`` rounds."""
        beyond = done - self.warmup_rounds
        return self.order == "interleaved" and beyond >= 0 and beyond % self.interval_rounds == 0

    def distillations_before(self, chosen: int, rounds: int) -> int:
        """Return how many distillations the network of round ``chosen`` has behind it, of ``rounds`` rounds in all.

        In the paper's order an epoch of distillation counts as a round behind the last.
        """
        if self.order == "paper":
            return max(chosen - rounds, 0)
        return sum(self.distils_after(done) for done in range(chosen))


@dataclass(frozen=True)
class RefitSettings:
    """The server repairs each mean: the light network is trained on the sealed set after every round. Ours.

    Attributes:
        steps: gradient steps after every mean; 0 for none (paper). They count as steps of DSFedMed.
        learning_rate: Adam's, in the first round; it falls over the rounds as ``light.rate_schedule`` says.
        fade: "fixed" takes as many steps after every mean; "annealed" fewer, in equal parts down to none after the last
            round; "validated" stops for good once the source sites' validation has not risen for ``patience`` rounds.
        patience: of "validated", in rounds.
        clip_norm: greatest norm of a step's gradients together; 0 for no bound.
        supervised_weight: factor of the loss on the known masks.
        kl_weight: factor of the pixel-mean divergence from the adapted teacher's soft labels; 0 does without the
            teacher.
    """

    steps: int = 0
    learning_rate: float = 3e-3
    fade: Fade = "fixed"
    patience: int = 3
    clip_norm: float = 1.0
    supervised_weight: float = 1.0
    kl_weight: float = 0.0


@dataclass(frozen=True)
class GuardSettings:
    """The guard over time: a round after which the source sites' validation fell too far is undone.

    Attributes:
        fall: a mean validation Dice, 0 to 1, further than this below the best so far undoes the round: the sites start
            from the best weights again, at half the learning rate; 0 switches the guard off.
        patience: after so many undone rounds in a row the training ends, and the run is incomplete: it collapsed.
    """

    fall: float = 0.3
    patience: int = 3


@dataclass(frozen=True)
class RobustSettings:
    """What keeps bad updates out of the mean, and bad parts out of the set; nothing changes where nothing is refused.

    Attributes:
        rule: how the updates that count become one: "mean" (paper), coordinate-wise "median" and "trimmed_mean" (Yin et
            al. 2018), "geometric_median" (RFA), "norm_clipping" (to the median norm), "multi_krum" (Blanchard et al.).
        bad_sites: sites that may be bad at the same time; parts that are left out for their harm are no more.
        max_share: most that one site counts in a mean, above 0 to 1, whatever number of images it declares; 1 for no
            bound (paper).
        gate_norm: an update longer than so many times the median of the others', or the weights, is refused, and one
            that is shorter than it over five times that; 0 for no gate.
        gate_growth: an update that has grown, since the site's last one, more than so many times as much as the others'
            is refused, and more than half of that, it is tried.
        gate_replay: an update that differs from an earlier one of the same site by this share of its length or less is
            refused.
        trials: let the sites validate the mean with and without each update now and then.
        trial_margin: an update without which the others' validation Dice is better by more than this is refused; gains
            of several trials add up, less a fifth of this each time.
        strikes: after so many refusals a site is no longer asked in that training.
        parts: score each site's part of the synthetic set before it is sealed, and leave a bad one out.
        part_steps: gradient steps of each network that is trained for that: with K sites 2 K times as many in all, and
            up to four times that where images are hard to learn.
        part_adherence: a part is left out whose images follow their masks less than this, 0 to 1: the share, of what
            one mask for all images leaves of the Dice, that a network gains which has learned half of the part.
        part_margin: a part is left out without which another site's validation Dice is better by more than this, where
            that site's own part bears it out.
    """

    rule: Literal["mean", "median", "trimmed_mean", "geometric_median", "norm_clipping", "multi_krum"] = "mean"
    bad_sites: int = 1
    max_share: float = 1.0
    gate_norm: float = 20.0
    gate_growth: float = 8.0
    gate_replay: float = 1e-3
    trials: bool = True
    trial_margin: float = 0.15
    strikes: int = 3
    parts: bool = True
    part_steps: int = 100
    part_adherence: float = 0.1
    part_margin: float = 0.05

    @property
    def is_plain(self) -> bool:
        """Whether the updates that count are simply averaged."""
        return self.rule == "mean" and self.max_share == 1

    @property
    def least_sites(self) -> int:
        """Sites that the rule needs to outvote ``bad_sites``."""
        return {"trimmed_mean": 2 * self.bad_sites + 1, "multi_krum": 2 * self.bad_sites + 3}.get(self.rule, 1)

    def after(self, refused: int) -> RobustSettings:
        """Return the settings for what is left when so many bad updates are out already."""
        return replace(self, bad_sites=max(self.bad_sites - refused, 0))


@dataclass(frozen=True)
class CompareSettings:
    """Which other methods the run trains and scores on the same split and seed.

    Attributes:
        local: each site alone.
        centralised: the light network on all source sites' images in one place, the upper bound; in simulation only.
        cross_site: score every site's own network (of each site alone, and of a method whose sites have some) on the
            test part of every site; in simulation only, as own networks never leave their site.
        fedavg: FedAvg of the light network at equal rounds.
        equal_steps: FedAvg goes on until it has taken as many gradient steps as DSFedMed.
        fedprox: FedProx of the light network at equal rounds.
        fedprox_mu: weight of its proximal term.
        teacher: score the teacher before and after mutual distillation at the sites. It then travels once, for the
            comparison only; its bytes are counted apart.
        fedsam: federate the teacher itself.
        fedmsa: federate adapters in the teacher and its mask decoder; every site holds the `teacher` file.
        fedlora: federate low-rank updates of the teacher and its mask decoder, their factors averaged apart
            (FedAvg-LoRA: pFedSAM's global branch without a personal one); every site holds the `teacher` file.
        local_lora: the same updates trained at each site alone.
        fedsam_learning_rate: Adam's, of FedSAM.
        fedmsa_learning_rate: Adam's, of FedMSA.
        lora_learning_rate: Adam's, of FedAvg-LoRA and of LoRA at each site alone.
    """

    local: bool = True
    centralised: bool = False
    cross_site: bool = False
    fedavg: bool = True
    equal_steps: bool = True
    fedprox: bool = False
    fedprox_mu: float = 0.01
    teacher: bool = True
    fedsam: bool = False
    fedmsa: bool = False
    fedlora: bool = False
    local_lora: bool = False
    fedsam_learning_rate: float = 1e-4
    fedmsa_learning_rate: float = 1e-4
    lora_learning_rate: float = 1e-4


@dataclass(frozen=True)
class TimeoutSettings:
    """How long the server waits, in seconds.

    Attributes:
        task_s: for any one task.
        straggler_grace_s: for the rest, once ``min_sites`` have answered.
        returning_grace_s: the same, when a site already missed the task before; it is taken back when it returns.
    """

    task_s: int = 7200
    straggler_grace_s: int = 600
    returning_grace_s: int = 5
