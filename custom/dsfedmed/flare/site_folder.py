# SPDX-License-Identifier: Apache-2.0
"""Where a site keeps what is its own: caches, residuals, references, pictures of its cases."""

from __future__ import annotations

from pathlib import Path

from nvflare.apis.fl_context import FLContext

from dsfedmed.federated.party.config import load_party_config

RUN = "dsfedmed.run"
"""Context property: the run's key, set by the site's executor when the run starts."""


def local_folder(fl_ctx: FLContext) -> Path:
    """Return the folder ``local`` of the site's NVFlare workspace."""
    return Path(fl_ctx.get_engine().get_workspace().get_site_config_dir())


def site_folder(fl_ctx: FLContext) -> Path:
    """Return the site's own output folder; inside NVFlare's run folder unless the site says otherwise."""
    run = fl_ctx.get_prop(RUN) or "run"
    config = load_party_config(local_folder(fl_ctx), fl_ctx.get_identity_name(), run)
    if config.output is not None:
        return config.output
    workspace = fl_ctx.get_engine().get_workspace()
    return Path(workspace.get_run_dir(fl_ctx.get_job_id())) / "dsfedmed"
