# SPDX-License-Identifier: Apache-2.0
"""Where a site keeps what is its own: where it says, or a folder of the job."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext

from dsfedmed.flare.site_folder import RUN, local_folder, site_folder


@pytest.fixture
def context(tmp_path: Path) -> FLContext:
    (tmp_path / "local").mkdir()
    workspace = SimpleNamespace(
        get_site_config_dir=lambda: str(tmp_path / "local"), get_run_dir=lambda job: str(tmp_path / job)
    )
    context = FLContext()
    engine = SimpleNamespace(get_workspace=lambda: workspace)
    values = {ReservedKey.ENGINE: engine, ReservedKey.IDENTITY_NAME: "site_b", ReservedKey.RUN_NUM: "job-7"}
    for key, value in values.items():
        context.set_prop(key, value, private=True, sticky=False)
    return context


def test_it_is_where_the_site_says(tmp_path: Path, context: FLContext) -> None:
    (tmp_path / "local" / "dsfedmed.yaml").write_text("output: /out/{site}/{run}\n")
    assert local_folder(context) == tmp_path / "local"
    assert site_folder(context) == Path("/out/site_b/run")
    context.set_prop(RUN, "dsfedmed-0123", private=True, sticky=False)
    assert site_folder(context) == Path("/out/site_b/dsfedmed-0123")


def test_without_a_word_of_the_site_it_is_in_the_job_s_folder(tmp_path: Path, context: FLContext) -> None:
    assert site_folder(context) == tmp_path / "job-7" / "dsfedmed"
