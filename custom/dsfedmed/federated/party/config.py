# SPDX-License-Identifier: Apache-2.0
"""What a site (or the server) keeps to itself: paths, device, threads. It never travels and no job may set it.

The file ``dsfedmed.yaml`` lies in the ``local`` folder of the NVFlare workspace, beside ``resources.json``.
``{site}`` in a path stands for the site's NVFlare name, so that one file serves a whole simulation. ``{run}`` stands
for the run's key (see `dsfedmed.federated.party.run_key`): every configuration has its own folder, and a job that is
submitted again finds what it left. ``{folder}`` stands for the name of the site's folder in a simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dsfedmed.bundles.allowed_classes import DOTTED
from dsfedmed.documents import read_yaml
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.branch_privacy import KEY, BranchRule, read_branch_rule
from dsfedmed.options import require
from dsfedmed.ranges import shortened
from dsfedmed.site_names import own_name

FILE_NAME = "dsfedmed.yaml"
LONGEST_PATH = 4000  # characters


@dataclass(frozen=True)
class PartyConfig:
    """Settings of one party.

    Attributes:
        data: the site's folder with ``datalist.json`` (sites only).
        output: folder for what the site keeps: caches, pictures of its own cases. It outlives jobs, so that a run that
            is interrupted goes on; the default is a folder of the job itself, which does not.
        bundles: folder that holds the network bundles.
        bundle_classes: classes and functions that a bundle may name here beyond `dsfedmed.bundles.allowed_classes`, as
            exact dotted names. They run on this machine.
        device: torch device of the heavy work.
        threads: CPU threads of a site's heavy work.
        workers: processes that augment training images ahead of the light network, worth it beside a GPU; with 0 it is
            done between two steps. Results do not depend on it.
        progress_s: least seconds from one word to the server on how far a long task is (steps done of all) to the next;
            0 for no word (sites only).
        memory_gib: memory that a site's heavy work may take, in GiB (Linux); without it there is no limit. A task that
            needs more fails with that reason, and the site goes on.
        server_threads: CPU threads of the server's heavy work, which runs while sites wait. With one, a run repeats to
            the last bit; more are faster and may differ in the last bits of an image or weight.
        send_drawn_masks: send the site's drawn masks instead of deformed ones. Off unless the hospital decides so.
        send_amplitudes: send low amplitudes of training images to the other sites (FedDG). Off unless the hospital
            decides so: they tell of single images.
        require_audit: take part with a synthetic set only if this site audited it and its vetoes were heeded.
        audit_quantile: least share of images that are no copies and that the audit of a synthetic set vetoes; a job may
            ask for more, never for less.
        branch_privacy: bound on what the generator's branch costs each patient (see
            `dsfedmed.federated.party.branch_privacy`); with it, the site fits no base together with others. A job may
            ask for more, never for less.
        branch_account: file in which the site counts its private branches, over all runs, with the secrets of their
            noise; the default is one beside this file, which is read-only in the containers of `nvflare deploy`.
        run: the run folder (server only): record, report, release, stage store.
        teacher: weights file the teacher starts from (server; at sites for FedMSA, pFedSAM and SAM-Fed, frozen there).
        light_weights: weights file the light network starts from, in every method that is compared (server only).
        uploads_on_disk: large tensors that arrive lie on disk until their turn (server only; see
            `dsfedmed.flare.offload`).
        public: labelled folder that everyone may see (server only, for SAM-Fed), with a datalist.json like a site's.
        generator: Stable Diffusion folder in diffusers format, where the run's generator builds on one. Only read.
        generator_base: file of the embedded base, for runs with `generator.base: given` (server only).
        report_cases: show in the report the pictures of cases that sites on this machine keep, with their names
            (server only; in a real federation it has none).
        other_versions: go on with sites whose versions of this package or of those under it are not the server's
            (server only); the record says which. Off unless the server's owner decides so.
        site_folders: in a simulation, the folders' names of the sites that travel under another one, by that name.
    """

    data: Path | None = None
    output: Path | None = None
    bundles: Path | None = None
    bundle_classes: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int = 1
    workers: int = 0
    progress_s: int = 30
    memory_gib: float | None = None
    server_threads: int = 1
    send_drawn_masks: bool = False
    send_amplitudes: bool = False
    require_audit: bool = True
    audit_quantile: float = 0.01
    branch_privacy: BranchRule | None = None
    branch_account: Path | None = None
    run: Path | None = None
    teacher: Path | None = None
    light_weights: Path | None = None
    public: Path | None = None
    generator: Path | None = None
    generator_base: Path | None = None
    uploads_on_disk: bool = True
    other_versions: bool = False
    report_cases: bool = True
    site_folders: dict[str, str] = field(default_factory=dict)

    @property
    def own_names(self) -> dict[str, str]:
        """Names that people are shown by the names that travel, of the sites where the two differ."""
        shown = {plain: own_name(name) for plain, name in self.site_folders.items()}
        return {plain: name for plain, name in shown.items() if name != plain}

    def need(self, name: str) -> Path:
        """Return the path called ``name``; an absent one is an error that says where to write it."""
        value = getattr(self, name)
        if value is None:
            raise ConfigError(FILE_NAME, f"`{name}` is not set", f"Add `{name}: <path>` to local/{FILE_NAME}")
        return Path(value)


_PATHS = {
    "data", "output", "bundles", "branch_account", "run", "teacher", "light_weights", "public", "generator",
    "generator_base",
}  # fmt: skip
ACCOUNT = "branch_privacy-{site}.json"


def load_party_config(folder: Path, site: str, run: str = "run") -> PartyConfig:
    """Read ``dsfedmed.yaml`` from a workspace's ``local`` folder; an absent file means all defaults.

    Args:
        folder: the folder ``local``.
        site: what ``{site}`` stands for, and ``{folder}`` unless ``site_folders`` names its folder.
        run: what ``{run}`` stands for.

    Raises:
        ConfigError: unreadable YAML, an unknown key or a value of the wrong kind.
    """
    path = folder / FILE_NAME
    account = folder / ACCOUNT.format(site=site)
    if not path.exists():
        return PartyConfig(branch_account=account)
    try:
        content = read_yaml(path) or {}
    except (OSError, ValueError) as error:
        raise ConfigError(path, f"is not valid YAML ({error})", "Correct the file") from error
    if not isinstance(content, dict):
        raise ConfigError(path, "does not hold `key: value` lines", "Correct the file")
    folders = content.get("site_folders")
    folder_name = folders.get(site, site) if isinstance(folders, dict) else site
    words = {"{site}": site, "{run}": run, "{folder}": str(folder_name)}
    values = {str(key): _value(path, str(key), value, words) for key, value in content.items()}
    return PartyConfig(**{"branch_account": account, **values})


def accepted_classes(local: Path | None) -> tuple[str, ...]:
    """Return ``bundle_classes`` of the ``dsfedmed.yaml`` in ``local``, for commands that open bundles; none for None.

    Raises:
        ConfigError: there is no such file, or it is not usable.
    """
    if local is None:
        return ()
    if not (local / FILE_NAME).is_file():
        raise ConfigError(local / FILE_NAME, "no such file", f"Give the folder that holds {FILE_NAME}")
    return load_party_config(local, "site").bundle_classes


def _value(path: Path, key: str, value: Any, words: dict[str, str]) -> Any:
    known = {entry.name: entry.type for entry in fields(PartyConfig)}
    if key not in known:
        raise ConfigError(path, f"key `{key}` is unknown", f"Known keys: {', '.join(sorted(known))}")
    if key in _PATHS:
        usable = value is None or (isinstance(value, str) and "\0" not in value and len(value) <= LONGEST_PATH)
        require(usable, str(path), f"`{key}` must be a path, found {shortened(value)}", "Correct the file")
        for word, meaning in words.items():
            value = value if value is None else value.replace(word, meaning)
        return None if value is None else Path(value).expanduser()
    if key == KEY:
        return read_branch_rule(value, str(path))
    if key == "bundle_classes":
        named = isinstance(value, list) and all(isinstance(name, str) and DOTTED.fullmatch(name) for name in value)
        require(
            named, str(path), f"`{key}` must be a list of dotted names, found {shortened(value)}", "Correct the file"
        )
        return tuple(value)
    if key == "site_folders":
        named = isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair)
        require(named, str(path), f"`{key}` must be `name: folder` lines, found {shortened(value)}", "Correct the file")
        return value
    if key == "memory_gib":
        is_amount = value is None or (type(value) in (int, float) and value > 0)
        require(is_amount, str(path), f"`{key}` must be a number above 0, found {shortened(value)}", "Correct the file")
        return value
    if key == "audit_quantile":
        is_share = type(value) is float and 0 < value < 1
        require(
            is_share, str(path), f"`{key}` must be a number between 0 and 1, found {shortened(value)}", "Write 0.01"
        )
        return value
    switches = dict.fromkeys(
        (
            "send_drawn_masks",
            "send_amplitudes",
            "require_audit",
            "uploads_on_disk",
            "other_versions",
            "report_cases",
        ),
        bool,
    )
    wanted = {"device": str, "threads": int, "server_threads": int, "workers": int, "progress_s": int, **switches}[key]
    least: int | None = {"threads": 1, "server_threads": 1, "workers": 0, "progress_s": 0}.get(key)
    too_small = least is not None and isinstance(value, int) and value < least
    if type(value) is not wanted or too_small:
        what = wanted.__name__ if least is None else f"whole number from {least}"
        raise ConfigError(path, f"`{key}` must be a {what}, found {shortened(value)}", "Correct the file")
    return value
