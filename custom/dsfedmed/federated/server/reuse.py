# SPDX-License-Identifier: Apache-2.0
"""A new simulated run takes over what the stages of another one made, as far as the settings that differ leave it.

So that another schedule can be tried without fitting the generators again. What is taken over is to the last bit what
the new run would make itself: every draw has a seed of its own (see tests/federated/server/test_reuse.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dsfedmed.data.datalist import load_datalist
from dsfedmed.documents import read_yaml
from dsfedmed.errors import ConfigError, StoreError
from dsfedmed.federated.party.config import FILE_NAME as SITE_CONFIG
from dsfedmed.federated.party.folders import AUDITS, SET_FOLDER
from dsfedmed.federated.party.layout import SimulatedSites, site_folders
from dsfedmed.federated.party.site_data import MEMORY, SITE_DATA, data_fingerprint
from dsfedmed.federated.server.given_base import ENTRY as GIVEN_BASE
from dsfedmed.federated.server.run_record import FILE_NAME as RECORD
from dsfedmed.federated.server.stage_dependencies import EQUAL_STEPS, FEDAVG, FEDPROX, STORED, reusable_stages
from dsfedmed.federated.server.stages.check_sites import TEACHER_START
from dsfedmed.federated.server.stages.synthetic_set import FOLDER as SYNTHETIC
from dsfedmed.packages import versions
from dsfedmed.settings import Settings
from dsfedmed.site_names import own_name
from dsfedmed.store.files import file_sha256, read_json, write_json
from dsfedmed.store.run_version import STORE, begun_config, has_begun, require_run_of_this_version
from dsfedmed.store.stage_store import StageStore

METHOD = "dsfedmed"
STORE_GROWING = f"{STORE}.part"
"""What a kill in the middle of the copying leaves; the next start copies anew."""
SAME = "Give a run of the same sites and weights, or leave --reuse out"


def reuse_stages(
    source: Path,
    out: Path,
    settings: Settings,
    layout: SimulatedSites,
    leaving: Mapping[str, int] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Copy to the run folder ``out`` what it can use of the run in ``source``; return the names of the stages.

    Does nothing where a run has begun in ``out``: that one goes on with its own. What was trained in rounds is not
    taken over where other sites leave (``leaving``, sites and after how many rounds).

    Raises:
        ConfigError: ``source`` holds no complete run of DSFedMed, or one of other sites, data or start weights.
        StoreError: another version of the program made it, or a file of it cannot be read or copied.
    """
    require_run_of_this_version(source)
    if has_begun(out):
        return ()
    _require_fit(source, layout)
    _require_same_data(source, layout)
    config = begun_config(source)
    before = Settings.from_dict(config["settings"])
    if before.generator.base == settings.generator.base == "given":
        _require_same_base(source, layout)
    changed = _other_teacher_weights(source, layout)
    usable = reusable_stages(before, settings, changed)
    if read_json(source / RECORD).get("leaving", {}) != dict(leaving):
        usable = tuple(stage for stage in usable if stage not in (FEDAVG, FEDPROX))
    kept = tuple(stage for stage in usable if (source / STORE / f"{stage}.json").exists())
    sources = [site for site in site_folders(layout.sites) if site not in settings.unseen]
    asked = {"method": METHOD, "settings": settings.to_dict(), "sites": sources}
    growing = out / STORE_GROWING
    try:
        if growing.exists():
            shutil.rmtree(growing)
        there, here = StageStore.existing(source / STORE), StageStore(growing, asked)
        for stage in kept:
            _copy_entries(there, here, stage, TEACHER_START if changed else "")
        _copy_set(source, out, read_json(source / RECORD)["sites"], kept)
        begun = {"leaving": dict(leaving)} if leaving else {}
        write_json(out / RECORD, _record_of(source, kept) | begun)
        growing.rename(out / STORE)  # last: with it the run has begun, and nothing more is taken over
    except (OSError, StoreError) as error:
        fix = "Free space or fix that run, and start the same command again"
        raise StoreError(source, f"cannot be taken over ({error})", fix) from error
    return kept


def _require_fit(source: Path, layout: SimulatedSites) -> None:
    """See that ``source`` is a run of DSFedMed on the same sites, begun with the same generator and light network."""
    record = read_json(source / RECORD) if (source / RECORD).exists() else {}
    configs = [folder / SITE_CONFIG for folder in (source / "nvflare" / METHOD / "local", source / "local")]
    site_config = next((path for path in configs if path.is_file()), None)  # over NVFlare, or on the local transport
    whole = record.get("method") == METHOD and record["verdict"] == "complete" and (source / STORE).is_dir()
    if site_config is None or not whole:
        raise ConfigError(source, "holds no complete run of dsfedmed", "Give the --out of such a run")
    try:
        there = read_yaml(site_config)
    except (OSError, ValueError) as error:
        raise ConfigError(site_config, f"cannot be read ({error})", SAME) from error
    here = {"data": f"{layout.sites.resolve()}/{{folder}}"}
    for name in ("generator", "light_weights"):
        path: Path | None = getattr(layout, name)
        here[name] = "none" if path is None else str(path.resolve())
    for name, value in here.items():
        if there.get(name, "none") != value:
            reason = f"is a run with another '{name}' ({there.get(name, 'none')}, not {value})"
            raise ConfigError(source, reason, SAME)


def _require_same_data(source: Path, layout: SimulatedSites) -> None:
    """See that the sites' files are, by their content, those that the other run was made of."""
    store = StageStore.existing(source / STORE)
    if not store.has(SITE_DATA):
        fix = "Start its own command once more, which writes them down, or leave --reuse out"
        raise ConfigError(source, "does not say of which data it was made", fix)
    made = store.get(SITE_DATA).info
    for plain, name in site_folders(layout.sites).items():
        memory = source / "sites" / plain / MEMORY
        if data_fingerprint(load_datalist(layout.sites / name), memory).sha256 != made.get(plain):
            raise ConfigError(source, f"is a run on other data of {own_name(name)}", SAME)


def _require_same_base(source: Path, layout: SimulatedSites) -> None:
    """See that both runs have the same base as a file; its content counts, wherever it lies."""
    made = StageStore.existing(source / STORE).get(GIVEN_BASE).info
    path = layout.generator_base
    if path is None or not path.is_file() or file_sha256(path) != made["sha256"]:
        given = "none" if path is None else path.name
        reason = f"is a run with another 'generator_base' ({made['file']} {made['sha256'][:12]}, not {given})"
        raise ConfigError(source, reason, SAME)


def _other_teacher_weights(source: Path, layout: SimulatedSites) -> bool:
    given = layout.teacher is not None and layout.teacher.is_file()
    here = file_sha256(layout.teacher) if given and layout.teacher else None
    return bool(StageStore.existing(source / STORE).get(TEACHER_START).info["sha256"] != here)


def _copy_entries(source: StageStore, target: StageStore, stage: str, left_out: str) -> None:
    """Put what a stage left into the other run's store, once its hashes are found to be right."""
    for pattern in STORED[stage]:
        for path in sorted(source.folder.glob(f"{pattern}.json")):
            if path.stem != left_out:
                found = source.get(path.stem)
                target.put(path.stem, found.info, found.tensors)


def _copy_set(source: Path, out: Path, sites: list[str], kept: tuple[str, ...]) -> None:
    """Copy the synthetic set, and what the sites hold and said of it."""
    folders = [SYNTHETIC] if "synthesise" in kept else []
    if "audit" in kept:
        folders += [f"sites/{site}/{folder}" for site in sites for folder in (SET_FOLDER, AUDITS)]
    for folder in filter(lambda folder: (source / folder).is_dir(), folders):
        shutil.copytree(source / folder, out / folder, dirs_exist_ok=True)


def _record_of(source: Path, kept: tuple[str, ...]) -> dict[str, Any]:
    """Return the beginning of the new run's record: times, bytes and events of the stages, and what was chosen."""
    record = read_json(source / RECORD)
    names = {*kept, EQUAL_STEPS} if FEDAVG in kept else set(kept)
    methods = {stage.removeprefix("compare ") for stage in kept} | ({"fedavg_equal_steps"} if FEDAVG in kept else set())
    by_method = ("curves", "selected", "budgets")
    return {
        **{part: {key: value for key, value in record[part].items() if key in methods} for part in by_method},
        "stages": [entry for entry in record["stages"] if entry["name"] in names],
        "events": [entry for entry in record["events"] if entry["stage"] in names],
        "bytes": {"entries": [entry for entry in record["bytes"]["entries"] if entry["stage"] in names]},
        "versions": versions(),
        "reused": {"run": record["name"], "stages": list(kept)},
    }
