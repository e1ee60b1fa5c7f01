# SPDX-License-Identifier: Apache-2.0
"""Run a job in NVFlare's simulator and judge it by the run's own record."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nvflare.recipe.sim_env import SimEnv

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.federated.party.launcher import as_launcher
from dsfedmed.federated.party.layout import require_enough
from dsfedmed.federated.party.stopping import raise_if_stopped
from dsfedmed.federated.server.run_record import FILE_NAME, mark_not_begun
from dsfedmed.flare.receivers.choice import TENSORBOARD
from dsfedmed.flare.recipe import MethodRecipe
from dsfedmed.reporting.report import build_report
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json

PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")


@contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Yield a path of ``folder`` without blanks and quotes, where NVFlare's command line would be split: a link to it.

    Args:
        folder: a folder that is there.
    """
    whole = folder.resolve()
    if PLAIN.fullmatch(str(whole)):
        yield whole
        return
    with tempfile.TemporaryDirectory(prefix="dsfedmed-") as temporary:
        link = Path(temporary) / "workspace"
        link.symlink_to(whole, target_is_directory=True)
        yield link


def simulate(
    settings: Settings, sites: list[str], out: Path, method: str = "dsfedmed", tracking: str = TENSORBOARD
) -> str:
    """Simulate all ``sites``, each in a process of its own; write the report; return the run's verdict.

    Raises:
        ConfigError: an unseen site is not among the sites, too few are left to train, or NVFlare refused the job.
        Stopped: a signal came, which NVFlare takes for an end of its own.
    """
    require_enough(settings, sites)
    mark_not_begun(out)
    with plain_path(out / "nvflare") as workspace:
        environment = SimEnv(
            clients=sites,
            num_threads=len(sites),
            workspace_root=str(workspace),
            log_config=str(workspace / method / "local" / "log_config.json"),
        )
        recipe = MethodRecipe(settings, method, tracking=tracking)
        try:
            with as_launcher():
                environment.deploy(recipe.job)
            raise_if_stopped()
        except RuntimeError as error:  # NVFlare says only that it failed; the run's own record says why
            raise_if_stopped()
            if not (out / FILE_NAME).exists():
                fix = "Read the log files there"
                raise ConfigError(out / "nvflare", f"NVFlare did not start the run ({error})", fix) from error
    party = load_party_config(out / "nvflare" / method / "local", "server")
    build_report(out, party.report_cases)
    return str(read_json(out / FILE_NAME)["verdict"])
