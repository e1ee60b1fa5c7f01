# SPDX-License-Identifier: Apache-2.0
"""Which images a page shows: those that stand out or have a finding, and an even sample of each part.

The page holds at most `MOST_OUTLIERS` + `MOST_SAMPLED` pictures, which is below 30 MB whatever the images are (JPEG of
noise), and 2 to 4 MB as a rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsfedmed.data.checks import Finding
from dsfedmed.data.datalist import PARTS
from dsfedmed.data.review.items import ReviewedItem
from dsfedmed.data.review.outliers import outliers

MOST_OUTLIERS, MOST_SAMPLED = 40, 120


@dataclass(frozen=True)
class Shown:
    """What is shown of a site.

    Attributes:
        outliers: index of an item and what is said of it, the gravest first.
        hidden_outliers: how many more stand out.
        samples: indices by part, in the order of the datalist.
    """

    outliers: Mapping[int, Sequence[str]]
    hidden_outliers: int
    samples: Mapping[str, Sequence[int]]


def choose(items: Sequence[ReviewedItem], findings: Sequence[Finding]) -> Shown:
    """Return the images to show: errors first, then by how much there is to say; of volumes one slice a finding.

    Args:
        items: all images of the site.
        findings: of check-site, for this site.
    """
    errors, said = _findings(items, findings)
    for index, reasons in outliers(items).items():
        said.setdefault(index, []).extend(reasons)
    order = sorted(said, key=lambda index: (index not in errors, -len(said[index]), index))
    shown = {index: said[index] for index in order[:MOST_OUTLIERS]}
    return Shown(shown, len(order) - len(shown), _samples(items))


def _findings(items: Sequence[ReviewedItem], findings: Sequence[Finding]) -> tuple[set[int], dict[int, list[str]]]:
    """Return the items with an error, and the text of every finding by the first item of its file."""
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        for path in (item.item.image, item.item.label):
            first.setdefault(str(path), index)
    errors: set[int] = set()
    said: dict[int, list[str]] = {}
    for finding in findings:
        if finding.where in first:
            index = first[finding.where]
            said.setdefault(index, []).append(f"{finding.level}: {finding.reason}")
            if finding.level == "error":
                errors.add(index)
    return errors, said


def _samples(items: Sequence[ReviewedItem]) -> dict[str, list[int]]:
    """Return an even sample of each part, at most `MOST_SAMPLED` together, by the parts' shares."""
    parts = {part: [index for index, item in enumerate(items) if item.part == part] for part in PARTS}
    chosen = {}
    for part, indices in parts.items():
        count = min(len(indices), max(1, MOST_SAMPLED * len(indices) // len(items))) if indices else 0
        chosen[part] = [indices[place * len(indices) // count] for place in range(count)]
    return chosen
