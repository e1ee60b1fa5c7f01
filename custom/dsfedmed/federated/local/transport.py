# SPDX-License-Identifier: Apache-2.0
"""The whole workflow as bare loops: the same stages and site tasks, without NVFlare.

Every site is one plain process, as in a simulated federation, so that both use the same cores in the same way. A
request goes to it through a pipe, as JSON and safetensors bytes; there is no cell, no task queue, no filter, no digest,
no message on disk and no kept reply. What is left is the work itself, and the run's own store, record and report.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from dsfedmed.data.manifest import Manifest
from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.federated.methods.dsfedmed import DSFedMed
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.server.workflow import OnArrival
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.reference_weights import REFERENCE, reference_file
from dsfedmed.federated.site.tasks import TASKS
from dsfedmed.federated.site.tasks.synthetic import SET_FOLDER
from dsfedmed.federated.site.uplink import pack_update
from dsfedmed.federated.wire.message import Message

_SPAWN = multiprocessing.get_context("spawn")


class BareDSFedMed(DSFedMed):
    """DSFedMed over plain processes.

    Args:
        configuration: the run's settings, as for the federation.
        local: folder with ``dsfedmed.yaml``, as `dsfedmed.flare.workspace.prepare_workspace` writes it.
        sites: names of all sites, seen and unseen.
    """

    def __init__(self, configuration: dict[str, Any], local: Path, sites: list[str]) -> None:
        super().__init__(configuration)
        self.local, self.present = local, sites
        self._pipes: dict[str, Connection] = {}
        self._processes: list[Any] = []

    def run(self) -> None:
        """Start the sites, do all stages, end the sites.

        Raises:
            DSFedMedError: a stage could not go on.
        """
        for site in self.present:
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=serve, args=(theirs, site, self.local), daemon=True)
            process.start()
            theirs.close()
            self._pipes[site] = ours
            self._processes.append(process)
        try:
            super().run()
        finally:
            for pipe in self._pipes.values():
                pipe.close()
            for process in self._processes:
                process.join()

    def panic(self, reason: str) -> None:
        """End with an error; there is no job to abort."""
        raise DSFedMedError("bare loops", reason, "Fix this and start again")

    def track(self, tag: str, value: float, step: int) -> None:
        """Publish nothing: tracking belongs to NVFlare."""

    @contextmanager
    def offered(self, folder: Path, manifest: Manifest) -> Iterator[dict[str, Any]]:
        """Name the folder; the sites copy the files from there."""
        yield {"manifest": manifest.to_dict(), "folder": str(folder)}

    @contextmanager
    def offered_file(self, path: Path) -> Iterator[dict[str, Any]]:
        """Name the file; the sites copy it from there."""
        yield {"file": str(path)}

    def _environment(self) -> tuple[Path, Path, list[str]]:
        return self.local, self.local, self.present

    def _dismiss(self) -> None:
        """Tell nobody: the pipes are closed at the end."""

    def _connect(self) -> None:
        """Count nothing: nothing goes over a wire."""

    def _send(
        self,
        task: str,
        request: Message,
        targets: list[str],
        receive: OnArrival,
        enough: Callable[[], bool],  # noqa: ARG002 (the base's signature)
    ) -> None:
        """Give every target the task and take the replies as they come; a site that is gone is left out."""
        for site in targets:
            send_message(self._pipes[site], Message({"task": task, "info": request.info}, request.tensors))
        waiting: dict[Any, str] = {self._pipes[site]: site for site in targets}
        while waiting:
            for pipe in wait(list(waiting)):
                site = waiting.pop(pipe)
                try:
                    reply = take_message(self._pipes[site])
                except EOFError:
                    continue
                receive(site, lambda reply=reply: reply)  # type: ignore[misc]


def serve(pipe: Connection, name: str, local: Path) -> None:
    """Main function of a site's process: do tasks until the pipe closes."""
    config = load_party_config(local, name)
    torch.set_num_threads(config.threads)
    site = SiteContext(name, config, config.need("output"))
    while True:
        try:
            asked = take_message(pipe)
        except EOFError:
            return
        started = time.monotonic()
        reply = answer(site, asked.info["task"], Message(asked.info["info"], asked.tensors))
        info = {**reply.info, "seconds": time.monotonic() - started}
        send_message(pipe, Message(info, reply.tensors, reply.is_difference))


def answer(site: SiteContext, task: str, request: Message) -> Message:
    """Do one task; an error goes back as a reply that names it."""
    if "files" in request.info:
        _copy_files(request.info["files"], site.folder / SET_FOLDER)
    if REFERENCE in request.info:
        request = _copy_reference(request, site.folder)
    try:
        # The number format is part of the result, not of the transport.
        return pack_update(TASKS[task](site, request), site.name, site.folder)
    except DSFedMedError as error:
        return Message({"error": site.public_error(error)})


def send_message(pipe: Connection, message: Message) -> None:
    """Send facts as JSON and tensors as safetensors bytes; nothing is pickled."""
    head = {"info": message.info, "is_difference": message.is_difference}
    pipe.send_bytes(json.dumps(head).encode())
    pipe.send_bytes(save({name: tensor.contiguous() for name, tensor in message.tensors.items()}))


def take_message(pipe: Connection) -> Message:
    """Take what `send_message` sent.

    Raises:
        EOFError: the other end is closed.
        PayloadError: it was no message of ours.
    """
    try:
        facts, tensors = pipe.recv_bytes(), pipe.recv_bytes()
    except ConnectionResetError as error:
        raise EOFError from error
    try:
        head = json.loads(facts)
        return Message(head["info"], load(tensors), bool(head["is_difference"]))
    except (ValueError, KeyError, SafetensorError) as error:
        raise PayloadError("pipe", f"brought no message ({error})", "Use the same version at both ends") from error


def _copy_reference(request: Message, folder: Path) -> Message:
    named = dict(request.info[REFERENCE])
    source, arm = Path(named.pop("offer")["file"]), request.info["arm"]
    target = reference_file(folder, arm, named["to"])
    if not target.exists() and not reference_file(folder, arm, named["from"]).exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return Message({**request.info, REFERENCE: named}, request.tensors)


def _copy_files(offer: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for shard in Manifest.from_dict(offer["manifest"]).shards:
        shutil.copyfile(Path(offer["folder"]) / shard.name, folder / shard.name)
