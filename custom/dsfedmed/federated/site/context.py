# SPDX-License-Identifier: Apache-2.0
"""What a site's worker knows: its images, its folder, and the replies it has already given."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.installed import installed_bundle
from dsfedmed.data.arrays import SiteArrays, load_images, load_part
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.errors import ConfigError, DSFedMedError, PayloadError
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.site.child import read_message, write_message
from dsfedmed.federated.site.task_progress import OnProgress, ignore_progress
from dsfedmed.federated.wire.message import CACHED_ROUNDS, Message
from dsfedmed.store.stage_store import config_hash

SiteTask = Callable[["SiteContext", Message], Message]


class SiteContext:
    """Context of a site's tasks.

    Args:
        name: NVFlare name of the site.
        config: what the site keeps to itself.
        folder: where caches and pictures go.
        on_progress: called by long tasks with how far they are.
    """

    def __init__(self, name: str, config: PartyConfig, folder: Path, on_progress: OnProgress = ignore_progress) -> None:
        self.name, self.config, self.folder, self.on_progress = name, config, folder, on_progress
        self._bundles: dict[str, BundleDefinition] = {}
        self._arrays: dict[tuple[str, str], SiteArrays] = {}
        self._images: dict[tuple[str, str], Tensor] = {}
        self.samples: dict[tuple[str, str], SiteArrays] = {}

    @property
    def datalist(self) -> SiteDatalist:
        """The site's datalist, read once per worker."""
        return _datalist(self.config.need("data"))

    def bundle(self, spec: dict[str, Any]) -> BundleDefinition:
        """Return the bundle a request speaks of.

        Raises:
            ConfigError: no such bundle is installed, a setting is not declared, or the site's copy is not the one the
                server announced.
        """
        key = json.dumps(spec, sort_keys=True)
        if key not in self._bundles:
            folder = installed_bundle(self.config.need("bundles"), spec["bundle"], "the server's request")
            allowed = self.config.bundle_classes
            bundle = BundleDefinition(folder, spec["settings"], also_allowed=allowed, sender="the server's request")
            if bundle.sha256 != spec["sha256"]:
                reason = f"its bundle {spec['bundle']} differs from the server's"
                raise ConfigError(self.name, reason, "Install the same release of the bundle")
            self._bundles[key] = bundle
        return self._bundles[key]

    def arrays(self, part: str, spec: dict[str, Any]) -> SiteArrays:
        """Return a part of the site's data after the bundle's preprocessing, loaded once per worker."""
        key = (part, json.dumps(spec, sort_keys=True))
        if key not in self._arrays:
            self._arrays[key] = load_part(self.datalist, part, self.bundle(spec).preprocessing())
        return self._arrays[key]

    def images(self, part: str, spec: dict[str, Any]) -> Tensor:
        """Return a part's images alone after the bundle's preprocessing, loaded once per worker; no label is read."""
        key = (part, json.dumps(spec, sort_keys=True))
        if key not in self._images:
            self._images[key] = load_images(self.datalist, part, self.bundle(spec).preprocessing())
        return self._images[key]

    def replay(self, task: str, request: Message, do: SiteTask) -> Message:
        """Do a task, or give the reply again that this very request was given before.

        A request that comes a second time (the server was restarted, or a message was lost) costs nothing and its
        reply is the same to the last bit, unless the site's datalist has changed since. Replies of training rounds are
        kept for a few rounds, all others for good.
        """
        slot = self.folder / "replies" / _slot(task, request.info)
        parts = {"info": request.info, "tensors": digest(request.tensors), "datalist": self.datalist.sha256}
        key = config_hash(parts)
        if slot.with_suffix(".json").exists():
            kept = read_message(slot)
            if kept.info.get("request") == key:
                return kept
        reply = do(self, request)
        reply = Message({**reply.info, "request": key}, reply.tensors, reply.is_difference)
        write_message(slot, reply)
        self._forget(task, request.info)
        return reply

    def _forget(self, task: str, info: dict[str, Any]) -> None:
        if "round" in info:
            old = self.folder / "replies" / _slot(task, {**info, "round": int(info["round"]) - CACHED_ROUNDS})
            for suffix in (".json", ".safetensors"):
                old.with_suffix(suffix).unlink(missing_ok=True)

    def public_error(self, error: DSFedMedError) -> dict[str, str]:
        """Return an error as the server may read it: without file names, which can name patients."""
        if isinstance(error, (ConfigError, PayloadError)):
            return {"where": self.name, "reason": error.reason, "fix": error.fix}
        reason = f"{type(error).__name__}, described in the site's own log"
        fix = f"At the site: read {self.folder.name}/worker.log, then run `dsfedmed check-site` on its data folder"
        return {"where": self.name, "reason": reason, "fix": fix}


def _slot(task: str, info: dict[str, Any]) -> str:
    parts = [task, str(info.get("arm", "")), f"{info['round']:04d}" if "round" in info else ""]
    return "-".join(part for part in parts if part)


@lru_cache(maxsize=1)
def _datalist(folder: Path) -> SiteDatalist:
    return load_datalist(folder)
