# SPDX-License-Identifier: Apache-2.0
"""What a site says about its data when a run starts, and the check that all sites mean the same task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np

from dsfedmed.data.channels import (
    ChannelNames,
    names_problem,
    require_channels,
    sorted_names,
    usable_channels,
)
from dsfedmed.data.datalist import Item, SiteDatalist
from dsfedmed.data.files.kinds import suffix_of
from dsfedmed.data.files.read import probe
from dsfedmed.data.labelling import read_label
from dsfedmed.data.masks.distinct import distinct
from dsfedmed.data.masks.rule import IGNORED
from dsfedmed.data.review.look import SiteLook, site_look
from dsfedmed.errors import DataError, PayloadError
from dsfedmed.packages import versions
from dsfedmed.ranges import Between, Channels, Classes, Length, Pixels

DECLARED = -1  # in place of a number: the file uses one that the datalist declares
Part: TypeAlias = Annotated[str, Length(40)]
Images: TypeAlias = Annotated[int, Between(0, 10**6)]
"""Images of a part: a hospital that claims more would own every mean."""
Grey: TypeAlias = Annotated[float, Between(-100_000, 1_000_000)]
Label: TypeAlias = Annotated[int, Between(0, 65535)]


@dataclass(frozen=True)
class SiteFacts:
    """Counts and kinds only; no names, paths or pixels of patients.

    channels: 1 to 16. channel_names: of the channels, sorted; empty where they have none. label_values: values that
    occur in training and validation labels. counts: images (slices) per part. suffixes: kinds of image file. size_min,
    size_max: smallest and largest extent (x, y), axis by axis. look: what the images look like, coarsely; None where
    the site has too few images to say so without telling of one. window: the numbers that become 0 and 1; None where
    every file has its own scale. made_up: whether the site's datalist says that its images are (the demo's do).
    """

    channels: Channels
    num_classes: Classes
    label_names: Annotated[tuple[Part, ...], Length(255)]
    nested: bool
    label_values: Annotated[tuple[Label, ...], Length(65536)]
    counts: Annotated[dict[Part, Images], Length(8)]
    suffixes: Annotated[tuple[Part, ...], Length(64)]
    size_min: tuple[Pixels, Pixels]
    size_max: tuple[Pixels, Pixels]
    versions: Annotated[dict[Part, Part], Length(32)]
    look: SiteLook | None = None
    channel_names: ChannelNames = ()
    window: tuple[Grey, Grey] | None = None
    made_up: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> SiteFacts:
        """Read the JSON form.

        Raises:
            PayloadError: when keys are missing or unknown, or the numbers make no sense.
        """
        try:
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
            if fields.get("look") is not None:
                fields["look"] = SiteLook.from_dict(fields["look"])
            facts = cls(**fields)
            usable = usable_channels(facts.channels) and facts.num_classes == len(facts.label_names) >= 1
            usable = usable and not names_problem(facts.channel_names, facts.channels)
            usable = usable and facts.channel_names == sorted_names(facts.channel_names)
            usable = usable and all(isinstance(count, int) and count >= 0 for count in facts.counts.values())
        except (TypeError, AttributeError) as error:
            raise PayloadError("site facts", f"not understood ({error})", "Install one version everywhere.") from error
        if not usable:
            raise PayloadError("site facts", "channels, classes or counts are impossible", "Check the site.")
        return facts


@dataclass(frozen=True)
class FederationFacts:
    """What all sites agree on.

    channels and channel_names: of the images. num_classes, label_names and nested: of the labels. window: the numbers
    that become 0 and 1; None where every file has its own scale.
    """

    channels: int
    num_classes: int
    label_names: tuple[str, ...]
    nested: bool
    channel_names: tuple[str, ...] = ()
    window: tuple[float, float] | None = None


def site_facts(datalist: SiteDatalist) -> SiteFacts:
    """Collect the facts of a site from its datalist, image headers and labels.

    A site with grey and RGB files counts as RGB; ``channels`` in its datalist overrides. Beyond these two, every file
    has the site's number of channels.

    Raises:
        DataError: when the site is empty, or a file cannot be read or has another number of channels.
    """
    items = [item for part in datalist.parts.values() for item in part]
    if not items:
        raise DataError(datalist.root, "the site is empty", "List its images in datalist.json.")
    alone = {item.image: not item.channel_files for item in items}
    probes = {path: probe(path) for path in sorted(alone)}
    whole = {path: found for path, found in probes.items() if alone[path]}  # else a file is one of the channels
    _refuse_undeclared(datalist, {found.channels for found in whole.values()})
    channels = datalist.channels or max(found.channels for found in probes.values())
    for path, found in whole.items():
        require_channels(path, found.channels, channels)
    sizes = np.array([found.size for found in probes.values()])
    observed: set[int] = set()
    foreign: dict[int, Path] = {}
    for part in ("training", "validation"):
        for item in datalist.parts.get(part, ()):
            observed |= _values(datalist, item, foreign)
    _refuse_several(datalist, foreign)
    low, high = sizes.min(axis=0), sizes.max(axis=0)
    return SiteFacts(
        channels=channels,
        num_classes=datalist.num_classes,
        label_names=datalist.label_names,
        nested=datalist.nested,
        label_values=tuple(sorted(observed)),
        counts={part: len(content) for part, content in datalist.parts.items()},
        suffixes=tuple(sorted({suffix_of(item.image) for item in items})),
        size_min=(int(low[0]), int(low[1])),
        size_max=(int(high[0]), int(high[1])),
        versions=versions(),
        look=site_look(datalist),
        channel_names=datalist.sorted_channel_names,
        window=datalist.window,
        made_up=datalist.made_up,
    )


def agreement(facts: Mapping[str, SiteFacts]) -> tuple[FederationFacts, dict[str, DataError]]:
    """Return what more than half of the sites agree on, and of every other site how it differs.

    Raises:
        DataError: no such majority, as with two sites that differ; as `merge_facts`.
    """
    told = {site: _agreed_part(found) for site, found in facts.items()}
    most, count = Counter(told.values()).most_common(1)[0] if told else (None, 0)
    if most is None or 2 * count <= len(told):
        return merge_facts(facts), {}
    return most, {site: _difference(site, found, most) for site, found in told.items() if found != most}


def merge_facts(facts: Mapping[str, SiteFacts]) -> FederationFacts:
    """Return what the sites agree on.

    Raises:
        DataError: naming the site that differs from the majority (from the first site where there is none).
    """
    if not facts:
        raise DataError("federation", "no site has reported", "Start the sites.")
    told = {site: _agreed_part(found) for site, found in facts.items()}
    values = {field.name: [getattr(found, field.name) for found in told.values()] for field in fields(FederationFacts)}
    agreed = FederationFacts(**{name: Counter(entries).most_common(1)[0][0] for name, entries in values.items()})
    for field in fields(FederationFacts):
        for site, found in told.items():
            if getattr(found, field.name) != getattr(agreed, field.name):
                raise _difference(site, found, agreed)
    return agreed


def _agreed_part(facts: SiteFacts) -> FederationFacts:
    return FederationFacts(
        facts.channels, facts.num_classes, facts.label_names, facts.nested, facts.channel_names, facts.window
    )


def _difference(site: str, found: FederationFacts, agreed: FederationFacts) -> DataError:
    """Return the error that says in which way a site differs first."""
    names = _names_difference(found.channel_names, agreed.channel_names)
    if names:
        return DataError(site, names, 'Correct "channel_names" in its datalist.json or leave the site out.')
    for field in fields(FederationFacts):
        own, others = getattr(found, field.name), getattr(agreed, field.name)
        if own != others:
            reason = f"its {field.name} is {own!r} where the others have {others!r}"
            return DataError(site, reason, "Correct its datalist.json or leave the site out.")
    raise ValueError("the site does not differ")


def _names_difference(own: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Return in which way a site's channel names differ, or an empty string."""
    if own == others:
        return ""
    if not own or not others:
        word, verb = ("not name", "do") if others else ("name", "do not")
        return f"it does {word} its channels, which the others {verb}"
    ours, theirs = ({name.casefold() for name in names} for names in (own, others))
    lacking = [name for name in others if name.casefold() not in ours]
    further = [name for name in own if name.casefold() not in theirs]
    parts = [f"it lacks {', '.join(lacking)}, which the others have"] if lacking else []
    parts += [f"it has {', '.join(further)}, which the others lack"] if further else []
    return "; ".join(parts) or f"it writes {', '.join(own)} where the others write {', '.join(others)}"


def _values(datalist: SiteDatalist, item: Item, foreign: dict[int, Path]) -> set[int]:
    if item.label is None:
        return set()
    label = read_label(item.labels, datalist.labelling, item.image)
    array = label.array if item.slice_index is None else label.array[:, :, item.slice_index]
    values = {int(value) for value in distinct(array)}
    if label.foreign is not None:
        foreign.setdefault(label.foreign, item.label)
    elif 1 in values:
        foreign.setdefault(DECLARED, item.label)
    return values - ({IGNORED} if datalist.ignore is not None else set())


def _refuse_undeclared(datalist: SiteDatalist, found: set[int]) -> None:
    """Refuse images of 2, or more than 3, channels where the datalist does not say that they are meant."""
    many = sorted(found - {1, 3})
    if datalist.channels is None and many:
        reason = f"it has images of {many[0]} channels, and its datalist declares none"
        raise DataError(datalist.root, reason, f'Write "channels": {many[0]} if all are meant.')


def _refuse_several(datalist: SiteDatalist, foreign: dict[int, Path]) -> None:
    """Refuse masks of 0 and one other number where files of the site use different ones."""
    if len(foreign) > 1:
        named = {"declared ones" if value == DECLARED else value: path for value, path in sorted(foreign.items())}
        shown = " and ".join(f"{value} in {path.name}" for value, path in list(named.items())[:2])
        reason = f"masks of 0 and one other number use different ones: {shown}"
        raise DataError(datalist.root, reason, 'Say what each means in "label_map", or correct the files.')
