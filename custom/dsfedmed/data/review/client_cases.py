# SPDX-License-Identifier: Apache-2.0
"""The patients of the authors' npy layout. Its test part is given: no patient may have files on both sides."""

from __future__ import annotations

import re
from pathlib import Path

from dsfedmed.data.review.case_patterns import CaseProposal, propose_cases
from dsfedmed.errors import DataError

FIX = "Say what a patient is: --case-regex '{regex}' (or another expression), or --case-regex none for every file"


def propose_for_clients(root: Path) -> CaseProposal | None:
    """Return the pattern of the first client whose names have one; None where no client's have.

    Args:
        root: folder of the client folders with ``data_npy`` and, for the test part, ``val_data_npy``.

    Raises:
        DataError: naming the client in which the pattern does not find every patient, or finds one in training and in
            test; nobody but the user can say what is right there.
    """
    clients = {path.parent: _names(path) for path in sorted(root.glob("*/data_npy"))}
    tests = {client: _names(client / "val_data_npy") for client in clients}
    found = (propose_cases(names + tests[client]) for client, names in clients.items())
    proposal = next((each for each in found if each is not None), None)
    if proposal is None:
        return None
    fix = FIX.format(regex=proposal.regex)
    for client, names in clients.items():
        training, test = _patients(proposal.regex, names), _patients(proposal.regex, tests[client])
        if None in training | test:
            raise DataError(client, f"some names follow {proposal.regex!r}, which finds patients, others do not", fix)
        both = sorted(str(case) for case in training & test)
        if both:
            reason = f"case {both[0]!r} (and {len(both) - 1} more) has files in data_npy and in val_data_npy"
            raise DataError(client, reason, f"Move each patient to one side. {fix}")
    return proposal


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.npy"))]


def _patients(regex: str, names: list[str]) -> set[str | None]:
    matches = [re.search(regex, name) for name in names]
    return {None if match is None else match.group(1) for match in matches}
