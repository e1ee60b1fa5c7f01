# SPDX-License-Identifier: Apache-2.0
"""A real MONAI Label server over two releases and a folder of pictures, once for the whole module."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from monai.bundle import run as bundle_run

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.release import write_release
from dsfedmed.bundles.settings import values_by_id
from dsfedmed.data.facts import FederationFacts
from dsfedmed.networks.checkpoints import read_state
from dsfedmed.networks.personal_sam import personal_settings
from tests.bundles.conftest import ROOT, blocks, write_site
from tests.data.conftest import write_image

ENVIRONMENT = ROOT / ".venv-label"
BUNDLE = ROOT / "bundles" / "light_unet_segmentation"
SIZE = [32, 32]
SMALL_SAM: dict[str, Any] = {
    "image_size": [32, 32], "variant": "tiny", "tuning": "full", "learning_rate": 0.01,
}  # fmt: skip
EXPERTS = personal_settings({"rank": 4, "alpha": 4.0, "layers": ["qkv", "lin1"]}, experts=2, top_k=1)
# The other bundles, small, and trained only so far that a mask has something in it; by the name of the release.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "light_flexible_unet": ("light_flexible_unet_segmentation", {"image_size": [64, 64]}),
    "light_tinysam": ("light_tinysam_segmentation", {"image_size": [64, 64], "learning_rate": 0.001}),
    "promptless_sam": ("promptless_sam_segmentation", SMALL_SAM),
    "personal_sam": ("promptless_sam_segmentation", {**SMALL_SAM, **EXPERTS}),
}
START_SECONDS = 400


@dataclass(frozen=True)
class Server:
    """A running server: its address, its folder of images, its workspace and the releases it serves."""

    url: str
    studies: Path
    workspace: Path
    releases: dict[str, Path]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request."""
        return requests.request(method, self.url + path, timeout=300, **options)


def make_release(
    folder: Path, site: Path, channels: int, names: tuple[str, ...], bundle: Path = BUNDLE, **sizes: Any
) -> Path:
    """Train a network for a few epochs on a small site and write its release."""
    sizes = {"image_size": SIZE, **sizes}
    settings = {**sizes, "in_channels": channels, "num_classes": len(names)}
    if bundle == BUNDLE:
        settings["learning_rate"] = 0.01
    definition = BundleDefinition(bundle, settings)
    given = values_by_id(definition.declared, definition.settings)
    if "variant" in settings:
        given["start_weights"] = ""  # from a random start
    bundle_run(
        config_file=str(bundle / "configs/train.json"), bundle_root=str(bundle), dataset_dir=str(site),
        ckpt_dir=str(folder / "models"), epochs=12, batch_size=4, val_interval=4, device="cpu", **given,
    )  # fmt: skip
    state = read_state(folder / "models/model.pt")
    facts = FederationFacts(channels, len(names), names, True)
    return write_release(bundle, folder / "release", state, sizes, facts, {"seen sites": {"dice": 1.0}})


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if requests.get(f"{url}/info/", timeout=60).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not answer: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start `dsfedmed label-server`; stop it, and whatever it started, at the end."""
    if not (ENVIRONMENT / ".done").is_file():
        pytest.skip("MONAI Label has no environment here; `make label-setup` makes .venv-label")
    folder = tmp_path_factory.mktemp("label")
    studies, sites = folder / "studies", folder / "sites"
    for name, classes in (("grey", 1), ("colour", 2)):
        (sites / name).mkdir(parents=True)
        write_site(sites / name, classes, name == "colour", (".png", ".png"))
    releases = {
        "grey_release_segmentation": make_release(folder / "grey", sites / "grey", 1, ("block",)),
        "colour_release_segmentation": make_release(folder / "colour", sites / "colour", 3, ("block", "core")),
    }
    for name, (bundle, sizes) in OTHERS.items():
        release = make_release(folder / name, sites / "grey", 1, ("block",), ROOT / "bundles" / bundle, **sizes)
        releases[f"{name}_release_segmentation"] = release
    for seed in range(3):
        write_image(studies / f"grey{seed}.png", blocks(20 + seed, 1, False)[0])
        write_image(studies / f"colour{seed}.png", blocks(30 + seed, 2, True)[0])
    write_image(studies / "scan.nii.gz", blocks(40, 1, False)[0])
    (studies / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    port, workspace, log = free_port(), folder / "workspace", folder / "server.log"
    command = [sys.executable, "-m", "dsfedmed.cli.main", "label-server", *map(str, releases.values())]
    command += ["--studies", str(studies), "--workspace", str(workspace), "--port", str(port)]
    command += ["--environment", str(ENVIRONMENT)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_up(process, url, log)
            yield Server(url, studies, workspace, releases)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    """The labels that were drawn into the pictures of the folder."""
    grey = {f"grey{seed}": blocks(20 + seed, 1, False)[1] for seed in range(3)}
    colour = {f"colour{seed}": blocks(30 + seed, 2, True)[1] for seed in range(3)}
    return {**grey, **colour, "scan": blocks(40, 1, False)[1]}
