# SPDX-License-Identifier: Apache-2.0
"""What a site's worker knows: its images, its folder, and the replies it has already given."""

from __future__ import annotations

import json
import logging
from functools import cached_property, lru_cache
from pathlib import Path

from torch import Tensor

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.installed import installed_bundle
from dsfedmed.data.arrays import SiteArrays, load_images, load_part
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.errors import ConfigError, DSFedMedError, PayloadError, StoreError, without_paths
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.site_data import MEMORY, remembered_sha256
from dsfedmed.federated.site.kept_arrays import kept_part
from dsfedmed.federated.site.task_progress import ProgressCallback, no_progress
from dsfedmed.federated.wire.codec import to_json
from dsfedmed.federated.wire.message import CACHED_ROUNDS, Message, SiteError, open_request, reply_message
from dsfedmed.federated.wire.message_files import read_key, read_message, write_message
from dsfedmed.federated.wire.specs import BundleSpec, RoundFacts
from dsfedmed.federated.wire.task import ReplyT, RequestT, Task
from dsfedmed.federated.wire.tasks import task_named
from dsfedmed.store.files import inside
from dsfedmed.store.stage_store import config_hash
from dsfedmed.version import VERSION

LOGGER = logging.getLogger("dsfedmed.site")


class SiteContext:
    """Context of a site's tasks.

    Args:
        name: NVFlare name of the site.
        config: what the site keeps to itself.
        folder: where caches and pictures go.
        on_progress: called by long tasks with how far they are.
    """

    def __init__(
        self, name: str, config: PartyConfig, folder: Path, on_progress: ProgressCallback = no_progress
    ) -> None:
        self.name, self.config, self.folder, self.on_progress = name, config, folder, on_progress
        self._bundles: dict[str, BundleDefinition] = {}
        self._arrays: dict[tuple[str, str], SiteArrays] = {}
        self._images: dict[tuple[str, str], Tensor] = {}
        self.samples: dict[tuple[str, str], SiteArrays] = {}

    @property
    def datalist(self) -> SiteDatalist:
        """The site's datalist, read once per worker."""
        return _datalist(self.config.need("data"))

    @cached_property
    def data_sha256(self) -> str:
        """One digest over the site's datalist and files as they are now, made once per worker."""
        return remembered_sha256(self.datalist, self.folder / MEMORY)

    def bundle(self, spec: BundleSpec) -> BundleDefinition:
        """Return the installed bundle that a request speaks of.

        Raises:
            ConfigError: no such bundle is installed, a setting is not declared, or the site's copy is not the one the
                server announced.
        """
        key = _key(spec)
        if key not in self._bundles:
            folder = installed_bundle(self.config.need("bundles"), spec.bundle, "the server's request")
            allowed = self.config.bundle_classes
            bundle = BundleDefinition(folder, spec.settings, also_allowed=allowed, sender="the server's request")
            if bundle.sha256 != spec.sha256:
                reason = f"its bundle {spec.bundle} differs from the server's"
                raise ConfigError(self.name, reason, "Install the same release of the bundle")
            self._bundles[key] = bundle
        return self._bundles[key]

    def arrays(self, part: str, spec: BundleSpec) -> SiteArrays:
        """Return a part of the site's data after the bundle's preprocessing, loaded once per worker."""
        key = (part, _key(spec))
        if key not in self._arrays:
            bundle = self.bundle(spec)
            self._arrays[key] = kept_part(
                self.folder,
                self.datalist,
                lambda: {"data": self.data_sha256, "part": part, "bundle": bundle.sha256, "version": VERSION},
                lambda: load_part(self.datalist, part, bundle.preprocessing()),
            )
        return self._arrays[key]

    def images(self, part: str, spec: BundleSpec) -> Tensor:
        """Return a part's images alone after the bundle's preprocessing, loaded once per worker; no label is read."""
        key = (part, _key(spec))
        if key not in self._images:
            self._images[key] = load_images(self.datalist, part, self.bundle(spec).preprocessing())
        return self._images[key]

    def answer(self, name: str, message: Message) -> Message:
        """Do the task ``name`` as the request asks, or give the reply again that this very request was given before.

        A request that comes a second time (the server was restarted, or a message was lost) costs nothing and its
        reply is the same to the last bit, unless the site's data have changed since. Replies of training rounds are
        kept for a few rounds, all others for good.

        Raises:
            PayloadError: there is no such task, or the request is not one of it.
        """
        task = task_named(name)
        request = open_request(task, message)
        if not task.cached:
            return reply_message(task.load()(self, request))
        path = self._reply_path(task, request.body)
        key = request_key(message, self._ground)
        try:
            if read_key(path) == key:
                return read_message(path)
        except StoreError as error:
            LOGGER.warning("a kept reply is made again: %s", error)
        reply = reply_message(task.load()(self, request))
        write_message(path, reply, key)
        self._forget(task, request.body)
        return reply

    @property
    def _ground(self) -> str:
        """What a kept reply rests on: the site's data and, where it has set them, its own rules on what may leave.

        A reply that was made before the site forbade it is not given again.
        """
        named = ("branch_privacy", "send_drawn_masks", "send_amplitudes")
        rules = {name: getattr(self.config, name) for name in named}
        kept = {name: to_json(rule) for name, rule in rules.items() if rule}
        return self.data_sha256 if not kept else f"{self.data_sha256}/{json.dumps(kept, sort_keys=True)}"

    def public_error(self, error: DSFedMedError) -> SiteError:
        """Return an error as the server may read it: without file names, which can name patients."""
        if isinstance(error, (ConfigError, PayloadError)):
            reason, fix = (without_paths(text[:2000]) for text in (error.reason, error.fix))
            return SiteError(self.name, reason, fix)
        reason = f"{type(error).__name__}, described in the site's own log"
        fix = f"At the site: read {self.folder.name}/worker.log, then run `dsfedmed check-site` on its data folder"
        return SiteError(self.name, reason, fix)

    def _reply_path(self, task: Task[RequestT, ReplyT], body: object, rounds_ago: int = 0) -> Path:
        """Return where the reply to a request is kept, without suffix."""
        training, number = _round_of(body)
        parts = [task.name, training, "" if number is None else f"{number - rounds_ago:04d}"]
        return inside(self.folder / "replies", "-".join(part for part in parts if part))

    def _forget(self, task: Task[RequestT, ReplyT], body: object) -> None:
        if _round_of(body)[1] is not None:
            old = self._reply_path(task, body, CACHED_ROUNDS)
            for suffix in (".json", ".safetensors"):
                old.with_name(old.name + suffix).unlink(missing_ok=True)


def request_key(message: Message, data: str) -> str:
    """Return the hash of a request and of the site's data (their digest): the same request gives the same reply."""
    return config_hash({"info": message.info, "tensors": digest(message.tensors), "data": data})


def _round_of(body: object) -> tuple[str, int | None]:
    """Return the training run and the round that a request speaks of, where it does."""
    found = getattr(body, "round", None)
    if isinstance(found, RoundFacts):
        return found.training, found.round
    return "", found if isinstance(found, int) else None


def _key(spec: BundleSpec) -> str:
    return json.dumps(to_json(spec), sort_keys=True)


@lru_cache(maxsize=1)
def _datalist(folder: Path) -> SiteDatalist:
    return load_datalist(folder)
