# SPDX-License-Identifier: Apache-2.0
"""Image size, network, batch size, rounds and preset for these sites and this machine: rules of thumb, with reasons.

Where the numbers come from:

- ``SIZES``: sides that every network and the generator here take. Below 64 px nothing was measured.
- ``CPU_SIZE`` 128, ``GPU_SIZE`` 256: the README says what a laptop is enough for; time grows with the side squared.
- ``OBJECT_PIXELS`` 4: an object of median size is several pixels across; nuclei, measured at 64 px, are three there.
- ``SHRINKING`` 4: images are not made more than four times smaller in each direction. nnU-Net keeps the median size of
  its data set and cuts patches; a whole image at 64 to 256 px is what the paper's workflow and a CPU can do.
- ``STEPS`` 2,000: gradient steps of all sites together; with breast ultrasound FedAvg still rose by four points from
  1,260 steps to 2,100.
- ``LARGE_DATA`` 1,000: the 0.4 M parameters of the U-Net were enough for the 650 training images of breast ultrasound.
- ``SMALL_SITE`` 32: a site of fewer images would take one gradient step in a pass with batches of 16.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dsfedmed.options import dotted
from dsfedmed.planning.fingerprint import SiteFingerprint
from dsfedmed.settings import Settings

SIZES = (64, 96, 128, 192, 256)
CPU_SIZE, GPU_SIZE = 128, 256
OBJECT_PIXELS = 4
SHRINKING = 4
STEPS = 2000
LEAST_ROUNDS, MOST_ROUNDS = 5, 60
LARGE_DATA = 1000
SMALL_SITE = 32
SMALL_BATCH = 8
PRESET = "cpu"
UNET, LARGER = "light_unet_segmentation", "light_flexible_unet_segmentation"


@dataclass(frozen=True)
class Choice:
    """One proposed setting: its key, its value, and why in a few words."""

    key: str
    value: str | int
    reason: str

    @property
    def option(self) -> str:
        """The setting as ``--set`` takes it."""
        return f"{self.key}={self.value}"


def options(choices: Sequence[Choice], base: Settings) -> list[str]:
    """Return what is proposed as words of a command line, without settings that ``base`` has anyway.

    Args:
        choices: the preset and settings.
        base: settings of that preset.
    """
    known, found = dict(dotted(base.to_dict())), []
    for choice in choices:
        if choice.key == "preset":
            found += ["--preset", str(choice.value)]
        elif known.get(choice.key) != choice.value:
            found += ["--set", choice.option]
    return found


def propose(base: Settings, sites: Sequence[SiteFingerprint], gpu: bool, given: Collection[str]) -> list[Choice]:
    """Return all proposed settings but those that were given; each follows from the ones before it.

    Args:
        base: the preset with what was given laid over.
        sites: the source sites, at least one.
        gpu: whether this machine has one.
        given: keys of settings that were given.
    """
    training = {site.name: site.counts["training"] for site in sites}
    batch = propose_batch(training, base.light.batch_size)
    size = base.light.batch_size if batch.key in given else int(batch.value)
    rounds = propose_rounds(training, size, base.light.epochs_per_round)
    found = [propose_size(sites, gpu), propose_network(training, gpu), batch, rounds]
    return [choice for choice in found if choice.key not in given]


def propose_size(sites: Sequence[SiteFingerprint], gpu: bool) -> Choice:
    """Return the side of the square images: the smallest of ``SIZES`` that keeps objects, within the machine's limit.

    Args:
        sites: the source sites, at least one.
        gpu: whether this machine has one.
    """
    limit, device = (GPU_SIZE, "a GPU") if gpu else (CPU_SIZE, "CPU cores")
    side = max(site.longer_side for site in sites)
    objects = [site.smallest_object for site in sites if site.smallest_object is not None]
    least = {f"images of {side} px are made at most {SHRINKING} times smaller": side / SHRINKING}
    if objects:
        least[f"the smallest objects are {OBJECT_PIXELS} px across from there on"] = OBJECT_PIXELS / min(objects)
    reason, wanted = max(least.items(), key=lambda pair: pair[1])
    allowed = [size for size in SIZES if size <= limit and (size <= side or size == SIZES[0])]
    enough = [size for size in allowed if size >= wanted]
    if enough:
        return Choice("image_size", enough[0], reason)
    across = f"; its smallest objects are {min(objects) * allowed[-1]:.1f} px across there" if objects else ""
    most = f"the most for {device}" if allowed[-1] == limit else "the images have no more"
    return Choice("image_size", allowed[-1], f"{most}{across}")


def propose_network(training: Mapping[str, int], gpu: bool) -> Choice:
    """Return the light network's bundle.

    Args:
        training: training images of each source site.
        gpu: whether this machine has a GPU.
    """
    images = sum(training.values())
    if gpu and images >= LARGE_DATA:
        return Choice("light.bundle", LARGER, f"{images} training images and a GPU: 7.4 M parameters")
    why = "few images" if gpu else "no GPU" if images >= LARGE_DATA else "few images and no GPU"
    return Choice("light.bundle", UNET, f"{images} training images, {why}: 0.4 M parameters, few bytes a round")


def propose_batch(training: Mapping[str, int], usual: int) -> Choice:
    """Return the images a gradient step.

    Args:
        training: training images of each source site, at least one site.
        usual: the preset's.
    """
    site, images = min(training.items(), key=lambda pair: pair[1])
    if images < SMALL_SITE and usual > SMALL_BATCH:
        return Choice("light.batch_size", SMALL_BATCH, f"{site} has only {images} training images")
    return Choice("light.batch_size", usual, "the preset's; every site takes several steps a pass")


def propose_rounds(training: Mapping[str, int], batch_size: int, epochs: int) -> Choice:
    """Return the rounds in which all sites together take about ``STEPS`` gradient steps.

    Args:
        training: training images of each source site.
        batch_size: images a step.
        epochs: passes over the images in a round.
    """
    a_round = sum(epochs * -(-images // batch_size) for images in training.values())
    rounds = min(max(-(-STEPS // a_round), LEAST_ROUNDS), MOST_ROUNDS)
    return Choice("rounds", rounds, f"{a_round} gradient steps a round, {rounds * a_round:,} in all")


def propose_preset(gpu: bool, given: str | None = None) -> Choice:
    """Return the preset: the one that needs no download; the paper's scale is a decision of its own.

    Args:
        gpu: whether this machine has one.
        given: the preset that was named; None where none was.
    """
    if given:
        return Choice("preset", given, "as it was given")
    more = "; `paper` needs SAM's and Stable Diffusion's weights" if gpu else ""
    return Choice("preset", PRESET, f"needs no download and runs on any machine{more}")
