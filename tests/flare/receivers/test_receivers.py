# SPDX-License-Identifier: Apache-2.0
"""Curves: the receiver that was asked for, the server's own among them, and the real MLflow and Weights & Biases."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from nvflare.apis.client import Client
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.app_opt.tracking.tb.tb_receiver import TBAnalyticsReceiver

from dsfedmed.cli.main import main
from dsfedmed.flare.receivers.choice import receiver
from dsfedmed.flare.receivers.with_server import ContextWithServer, WithServer
from tests.runs.tiny import NOTHING, TINY


class Engine:
    other = 3

    def get_clients(self) -> list[Client]:
        return [Client("site_a", "t")]


def context() -> FLContext:
    found = FLContext()
    found.set_prop(ReservedKey.ENGINE, Engine(), private=True, sticky=False)
    found.set_prop(ReservedKey.IDENTITY_NAME, "server", private=True, sticky=False)
    return found


def test_the_context_names_the_server_among_the_sites_and_is_otherwise_the_same() -> None:
    whole = context()
    told = ContextWithServer(whole)
    assert [client.name for client in told.get_engine().get_clients()] == ["site_a", "server"]
    assert told.get_engine().other == 3
    assert [client.name for client in whole.get_engine().get_clients()] == ["site_a"]
    told.set_prop("key", 1, private=True, sticky=False)
    assert whole.get_prop("key") == 1


def test_a_receiver_is_told_of_it_when_it_starts() -> None:
    class Known:
        def initialize(self, fl_ctx: FLContext) -> None:
            self.names = [client.name for client in fl_ctx.get_engine().get_clients()]

    class Both(WithServer, Known):
        pass

    found = Both()
    found.initialize(context())
    assert found.names == ["site_a", "server"]


def test_tensorboard_is_the_default() -> None:
    assert isinstance(receiver("tensorboard", "dsfedmed"), TBAnalyticsReceiver)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracking")
    small = ["--training", "4", "--validation", "8", "--test", "1"]
    assert main(["demo-sites", str(folder / "sites"), "--sites", "site_a", "site_b", *small]) == 0
    preset = {**TINY, "rounds": 2, "compare": NOTHING, "min_sites": 1}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(preset), encoding="utf-8")
    return folder


def run(folder: Path, tracking: str) -> Path:
    out = folder / tracking
    words = ["--sites", str(folder / "sites"), "--preset", str(folder / "tiny.yaml"), "--unseen", "site_b"]
    assert main(["run", "fedbn", *words, "--tracking", tracking, "--out", str(out)]) == 0
    return out / "nvflare" / "fedbn" / "server"


@pytest.mark.tracking
def test_the_real_mlflow_has_the_curves_of_sites_and_server(sites: Path) -> None:
    (store,) = run(sites, "mlflow").rglob("mlflow.db")
    with sqlite3.connect(store) as database:
        rows: list[Any] = database.execute(
            "select runs.name, metrics.key, metrics.step from metrics join runs using (run_uuid)"
        ).fetchall()
    assert {(name.split("-")[0], key, step) for name, key, step in rows} >= {
        ("site_a", "fedbn/loss", 1), ("site_a", "fedbn/loss", 2),
        ("simulator_server", "fedbn/validation_dice", 1),
    }  # fmt: skip


@pytest.mark.tracking
def test_the_real_weights_and_biases_has_a_run_for_each(sites: Path) -> None:
    files = list(run(sites, "wandb").glob("wandb/offline-run-*/*.wandb"))
    assert len(files) == 3
    assert sum(b"fedbn/validation_dice" in file.read_bytes() for file in files) == 2
