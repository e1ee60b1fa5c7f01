# SPDX-License-Identifier: Apache-2.0
"""From a recipe and a download to site folders with ``datalist.json`` and ``provenance.json``.

Sites are built in a hidden folder beside their place and moved there when all of them are whole, so an interrupted run
leaves nothing half-made. The same download, options and version give the same sites, byte for byte.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsfedmed.data.arrays import unknown_values
from dsfedmed.data.datalist import FILE_NAME, PARTS
from dsfedmed.data.datasets.plan import Encoded, Pair, Recipe, RecipeOptions, Sample, SitePlan, assign_parts
from dsfedmed.data.datasets.source import Member, Source
from dsfedmed.data.files.read import read_raw
from dsfedmed.data.files.values import windows
from dsfedmed.data.reading import observed_values
from dsfedmed.errors import DataError, StoreError
from dsfedmed.store.files import write_bytes, write_json
from dsfedmed.version import VERSION

PROVENANCE = "provenance.json"
Report = Callable[[DataError], object]
Items = dict[str, list[dict[str, str]]]


@dataclass(frozen=True)
class MadeSite:
    """A finished site: its folder, image files per part, and how many files of the download were left out as bad."""

    folder: Path
    counts: dict[str, int]
    left_out: int


def make_sites(
    recipe: Recipe,
    download: str | Path,
    out: str | Path,
    options: RecipeOptions | None = None,
    report: Report | None = None,
    say: Callable[[str], object] | None = None,
) -> list[MadeSite]:
    """Write the sites of a recipe.

    Args:
        recipe: one of ``registry.RECIPES``.
        download: the official archive, or a folder with the archives or their content.
        out: the folder that gets the site folders.
        options: see ``RecipeOptions``.
        report: called with every bad file as it is found, if given.
        say: called with a line of progress per site, if given.

    Raises:
        ConfigError: when ``options`` names an unknown site.
        DataError: when the layout is not the official one, a site is there already, or files are bad and not skipped.
        StoreError: when the disk cannot be written.
    """
    options, out = options or RecipeOptions(), Path(out)
    wanted = recipe.wanted(options)
    for name in wanted:
        if (out / name).exists():
            raise DataError(out / name, "it is there already", "Name another folder, or remove this one first.")
    staging = out / f".{recipe.name}.part"
    _remove(staging)
    try:
        with Source(download) as source:
            plans = recipe.plan(source, wanted, options)
            made = []
            for plan in plans:
                if say is not None:
                    say(f"{plan.name}: {len(plan.samples)} images of the download")
                made.append(_make_site(recipe, plan, source, staging / plan.name, options, report))
        bad = sum(site.left_out for site in made)
        if bad and not options.skip_bad:
            raise DataError(download, f"{bad} files are bad", "Fix them, or leave them out with --skip-bad.")
        return [_move(site, out / site.folder.name) for site in made]
    finally:
        _remove(staging)


def _make_site(
    recipe: Recipe, plan: SitePlan, source: Source, folder: Path, options: RecipeOptions, report: Report | None
) -> MadeSite:
    parts = assign_parts(plan.samples, recipe.name, plan.name, options)
    items: Items = {part: [] for part in PARTS}
    bad: list[DataError] = []
    for sample in plan.samples:
        part = parts[sample.case]
        only_labelled = plan.single_slices and options.slices == "labelled" and part != "test"
        try:
            items[part] += _write_sample(sample, plan, source, folder, options.link, only_labelled)
        except DataError as error:
            bad.append(error)
            if report is not None:
                report(error)
    if not any(items.values()) and (options.skip_bad or not bad):
        raise DataError(source.path, f"site {plan.name} would be empty", "Is the download complete?")
    write_json(folder / FILE_NAME, _datalist(recipe, plan, items))
    write_json(folder / PROVENANCE, _provenance(recipe, plan, source, options, bad))
    return MadeSite(folder, {part: len(found) for part, found in items.items()}, len(bad))


def _write_sample(
    sample: Sample, plan: SitePlan, source: Source, folder: Path, link: bool, only_labelled: bool
) -> list[dict[str, str]]:
    """Write a sample's pairs and return their datalist items; a bad sample leaves no file behind."""
    items: list[dict[str, str]] = []
    written: list[Path] = []
    try:
        for pair in sample.make(source):
            paths = {key: folder / f"{key}s" / f"{pair.stem}{getattr(pair, key).suffix}" for key in ("image", "label")}
            for key, path in paths.items():
                _place(getattr(pair, key), path, source, sample, link)
                written.append(path)
            if _has_foreground(paths["image"], paths["label"], pair, plan, sample) or not only_labelled:
                relative = {key: path.relative_to(folder).as_posix() for key, path in paths.items()}
                items.append({**relative, "case": sample.case})
            else:
                for path in paths.values():
                    path.unlink()
        return items
    except DataError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _place(content: Member | Encoded, path: Path, source: Source, sample: Sample, link: bool) -> None:
    if path.exists():
        raise DataError(sample.sources[0].where, f"a second image wants to be {path.name}", "Keep one of them.")
    if isinstance(content, Encoded):
        write_bytes(path, content.content)
    elif link and content.entry is None:
        source.read(content)  # for its hash
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(content.file, path)
        except OSError as error:
            raise StoreError(path, f"cannot be linked ({error.strerror})", "Leave --link out to copy.") from error
    else:
        write_bytes(path, source.read(content))


def _has_foreground(image: Path, label: Path, pair: Pair, plan: SitePlan, sample: Sample) -> bool:
    """Check what was written with the readers that training uses; errors name the file of the download."""
    try:
        picture = read_raw(image)
        mask = read_raw(label, label=True)
        windows(picture)  # raises when values are not finite
        values = observed_values(mask, None, plan.label_map)
    except DataError as error:
        about = pair.label if error.where == str(label) else pair.image
        member = about if isinstance(about, Member) else sample.sources[0]
        raise DataError(member.where, error.reason, "Download it again.") from error
    sizes = [raw.array.shape[:-1] for raw in (picture, mask)]
    if sizes[0] != sizes[1]:
        reason = f"the image is {sizes[0]} and its label {sizes[1]}"
        raise DataError(sample.sources[0].where, reason, "Download both again.")
    declared = dict(enumerate(("background", *plan.classes)))
    if unknown := sorted(values - set(declared)):
        raise DataError(sample.sources[-1].where, unknown_values(unknown, declared), "Download the label again.")
    return bool(values - {0})


def _datalist(recipe: Recipe, plan: SitePlan, items: Items) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": f"{recipe.name}/{plan.name}",
        "description": plan.description,
        "modality": {"0": plan.modality},
        "licence": recipe.licence,
        "labels": {str(value): name for value, name in enumerate(("background", *plan.classes))},
        "nested": True,
        "channels": plan.channels,
        "numTraining": len(items["training"]),
        "numTest": len(items["test"]),
    }
    if plan.label_map:
        document["label_map"] = {str(value): target for value, target in plan.label_map.items()}
    if plan.slices:
        document["slices"] = plan.slices
    return document | items


def _provenance(
    recipe: Recipe, plan: SitePlan, source: Source, options: RecipeOptions, bad: list[DataError]
) -> dict[str, Any]:
    used = {member.path: member for sample in plan.samples for member in sample.sources}
    return {
        "recipe": recipe.name,
        "site": plan.name,
        "dsfedmed": VERSION,
        "homepage": recipe.homepage,
        "licence": recipe.licence,
        "citation": recipe.citation,
        "options": {
            "seed": options.seed,
            "slices": options.slices,
            "tile_px": options.tile_px,
            "unseen": plan.name in options.unseen,
        },
        "notes": list(plan.notes),
        "source_files": len(used),
        "source_bytes": sum(member.bytes for member in used.values()),
        "sha256": {path: source.sha256[path] for path in used if path in source.sha256},
        "left_out": [{"reason": error.reason, "file": Path(error.where).name} for error in bad],
    }


def _move(site: MadeSite, place: Path) -> MadeSite:
    try:
        os.replace(site.folder, place)
    except OSError as error:
        raise StoreError(place, f"cannot be written ({error.strerror})", "Name another folder.") from error
    return MadeSite(place, site.counts, site.left_out)


def _remove(staging: Path) -> None:
    try:
        if staging.exists():
            shutil.rmtree(staging)
    except OSError as error:
        raise StoreError(staging, f"cannot be removed ({error.strerror})", "Remove it by hand.") from error
