# SPDX-License-Identifier: Apache-2.0
"""What to say where images and labels do not find each other: folders of other names, labels with a word behind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from dsfedmed.errors import DataError

TRIED = 20
"""Images whose names are looked for in the labels' names."""
NEARLY_ALL = 0.9
"""Share of the images that a suffix has to explain before it is proposed."""
MOST_SHOWN = 6
LABEL_WORDS = ("label", "mask", "annot", "segm", "contour", "truth", "outline")
"""Parts of folder names, in small letters, that mean labels."""


def require_folders(site: Path, images: str, labels: str) -> None:
    """See that a site has the two folders that are asked for.

    Raises:
        DataError: it has not; the folders that are there are named, and the options that take their names.
    """
    if not site.is_dir():
        raise DataError(site, "the folder is missing", "Give the folder of one site, with its images and labels.")
    missing = {o: n for o, n in (("--images", images), ("--labels", labels)) if not (site / n).is_dir()}
    if not missing:
        return
    there = [name for name in _folders(site) if name not in (images, labels)]
    shown = ", ".join(there[:MOST_SHOWN]) + (", ..." if len(there) > MOST_SHOWN else "")
    named = "the folder is" if len(missing) == 1 else f"the folders {' and '.join(missing.values())} are"
    reason = f"{named} missing (other folders there: {shown or 'none'})"
    where = site / next(iter(missing.values())) if len(missing) == 1 else site
    raise DataError(where, reason, _where_to_look(site, there, list(missing)))


def _where_to_look(site: Path, there: Sequence[str], missing: Sequence[str]) -> str:
    """Return what to do about missing folders, from those that are there."""
    guess = _guess(there, missing)
    if guess:
        return f"Try {guess}."
    sites = [name for name in there if _folders(site / name)]
    if len(missing) > 1 and sites:
        return f"Name one site, such as `dsfedmed build-datalist {quoted(str(site / sites[0]))}`."
    return f"Name what there is with {' and '.join(f'{option} NAME' for option in missing)}."


def _folders(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _guess(there: Sequence[str], missing: Sequence[str]) -> str:
    """Return the options for folders of which just one sounds like labels; empty where that is not so."""
    drawn = [name for name in there if any(word in name.lower() for word in LABEL_WORDS)]
    plain = [name for name in there if name not in drawn]
    wanted = {"--images": plain, "--labels": drawn}
    if any(len(wanted[option]) != 1 for option in missing):
        return ""
    return " ".join(f"{option} {quoted(wanted[option][0])}" for option in missing)


def quoted(name: str) -> str:
    """Return a name as a shell takes it as one word."""
    return f"'{name}'" if any(letter.isspace() for letter in name) else name


def labels_by_another_name(images: Collection[str], labels: Mapping[str, Path], option: str = "--label-suffix") -> str:
    """Return what to do about labels that are called otherwise than their images; empty where no rule shows.

    Args:
        images: names of all images, relative to their folder and without suffix, with "/".
        labels: the label files by names of the same kind.
        option: that takes what is behind the image's name; empty where there is none.
    """
    found = _best(sorted(images), frozenset(labels))
    if found is None:
        return ""
    before, behind = found
    image = next(name for name in sorted(images) if _named(name, found) in labels)
    shown = labels[_named(image, found)].name
    if not before and option:
        return f"There is {shown}: try {option}{'=' if behind.startswith('-') else ' '}{quoted(behind)}."
    extra = " and ".join(repr(part) for part in found if part)
    return f"There is {shown}: take {extra} out of the labels' names, so that both have one name."


def _best(images: Sequence[str], labels: frozenset[str]) -> tuple[str, str] | None:
    """Return what most labels have before and behind the names of their images, the shortest such pair."""
    candidates: set[tuple[str, str]] = set()
    for name in images[:: max(len(images) // TRIED, 1)][:TRIED]:
        candidates.update(_around(name, labels))
    counts = {pair: sum(_named(name, pair) in labels for name in images) for pair in candidates}
    good = [pair for pair, count in counts.items() if count >= NEARLY_ALL * len(images)]
    return min(good, key=lambda pair: (-counts[pair], len(pair[0]) + len(pair[1]), pair), default=None)


def _around(name: str, labels: Iterable[str]) -> set[tuple[str, str]]:
    """Return what labels in the same sub-folder have before and behind an image's name, one of the two at least."""
    folder, last = name.rpartition("/")[0], _last(name)
    found = set()
    for label in labels:
        if label.rpartition("/")[0] == folder and last in _last(label) and label != name:
            before, _, behind = _last(label).partition(last)
            found.add((before, behind))
    return found


def _named(name: str, around: tuple[str, str]) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{around[0]}{last}{around[1]}"


def _last(name: str) -> str:
    return name.rpartition("/")[2]
