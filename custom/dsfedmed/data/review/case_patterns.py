# SPDX-License-Identifier: Apache-2.0
"""Which part of a file name is the patient: common patterns, tried on all names of a site at once.

A pattern is proposed only where it finds a patient in every name and puts several files together. Words such as
"patient" or "case" say what the number behind them means, so that a single pair of files is enough. A bare prefix
("0012_L_CC", "P01-02") may mean something else. It has to give three patients or more, put at least half of the files
beside another, leave no patient with more than half of all files, and have a digit in every patient (folders of classes
or parts have none); the file names must be built alike, so that random names (hashes, UIDs) are not taken for patients.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_PERSON = "patient|patnr|pat|pt|case|subject|subj|sub|person|proband|volunteer|mrn|pid|p"
_EXAMINATION = "study|exam|examination|scan|volume|vol|series"
_START = r"(?:^|[/_ -])"
_NAME = r"(?:^|/)"
WORDS = (
    rf"(?i){_START}((?:{_PERSON})[-_ ]?(?:id|no|nr)?[-_ ]?[0-9]+)",
    r"(?:^|/)(sub-[A-Za-z0-9]+)",
    rf"(?i){_START}((?:patient|subject|case)[-_ ]?[A-Za-z0-9]+)[-_ /]",
    rf"(?i){_START}((?:{_EXAMINATION})[-_ ]?[0-9]+)",
)
"""Patterns that name what they find: patient3_slice07, case_003_image_2, sub-01_ses-02, img_p12_3, vol4_slice2."""
PREFIXES = (
    r"^([^/]+)/",
    rf"{_NAME}([^/_ -]+)[_ -][^/]*$",
    rf"{_NAME}([^/_ -]+[_ -][^/_ -]+)[_ -][^/]*$",
    rf"{_NAME}([^/_ -]+[_ -][^/_ -]+[_ -][^/_ -]+)[_ -][^/]*$",
    rf"{_NAME}([^/0-9]*[0-9]+)[A-Za-z][^/]*$",
)
"""Patterns that find a leading part: the first folder, P01-02, 0012_L_CC, TCGA-CS-4941_1, 12a."""
FEWEST_PATIENTS = 3
MOST_SHAPES, SHARE_OF_SHAPES = 4, 0.9


@dataclass(frozen=True)
class CaseProposal:
    """A pattern that groups the names.

    Attributes:
        regex: for ``--case-regex``; group 1 is the patient.
        patients: number of groups.
        files: number of names.
        example: the names of a group with several files, in order, at most 4.
        cases: patient of each name, in the order of the names that were given.
    """

    regex: str
    patients: int
    files: int
    example: tuple[str, ...]
    cases: tuple[str, ...]


def propose_cases(names: Sequence[str]) -> CaseProposal | None:
    """Return the first pattern that groups the names by patient; None where they show no such structure.

    Args:
        names: paths relative to the folder of the images, with "/" and with suffix; one a file (a volume is one).
    """
    if len(names) < 2:
        return None
    for regex in WORDS:
        cases = _cases(regex, names)
        if cases is not None and _is_group(cases, fewest=2):
            return _proposal(regex, names, cases)
    for regex in PREFIXES:
        cases = _cases(regex, names)
        if cases is not None and _is_plain(cases, names, folders=regex == PREFIXES[0]):
            return _proposal(regex, names, cases)
    return None


def _cases(regex: str, names: Sequence[str]) -> list[str] | None:
    """Return the patient of every name; None where one has none."""
    compiled = re.compile(regex)
    cases = []
    for name in names:
        match = compiled.search(name)
        if match is None:
            return None
        cases.append(match.group(1))
    return cases


def _is_group(cases: Sequence[str], fewest: int) -> bool:
    """Whether there are so many patients, and fewer of them than files."""
    return fewest <= len(set(cases)) < len(cases)


def _is_plain(cases: Sequence[str], names: Sequence[str], folders: bool) -> bool:
    """Whether a leading part that nothing names may be the patient; see the module's text."""
    counts = Counter(cases)
    together = sum(count for count in counts.values() if count > 1)
    regular = _is_group(cases, FEWEST_PATIENTS) and 2 * together >= len(cases) >= 2 * max(counts.values())
    numbered = all(any(char.isdigit() for char in case) for case in counts)
    return regular and numbered and (folders or _are_alike(names))


def _are_alike(names: Sequence[str]) -> bool:
    """Whether few shapes (runs of digits, runs of letters, signs) cover nearly all names."""
    shapes = Counter(_shape(name) for name in names)
    return sum(count for _, count in shapes.most_common(MOST_SHAPES)) >= SHARE_OF_SHAPES * len(names)


def _shape(name: str) -> str:
    """Return "patient3_slice07.png" as "a9_a9"."""
    stem = PurePosixPath(name).name.split(".")[0]
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"[0-9]+", "9", stem))


def _proposal(regex: str, names: Sequence[str], cases: Sequence[str]) -> CaseProposal:
    groups: dict[str, list[str]] = {}
    for name, case in sorted(zip(names, cases, strict=True)):
        groups.setdefault(case, []).append(name)
    example = next(group for group in groups.values() if len(group) > 1)
    return CaseProposal(regex, len(groups), len(names), tuple(example[:4]), tuple(cases))
