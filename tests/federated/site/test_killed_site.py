# SPDX-License-Identifier: Apache-2.0
"""A site's worker ends with the process that started it, in the middle of a task as well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.party.launcher import mark_of
from dsfedmed.federated.party.layout import SimulatedSites, write_party_config
from tests.federated.party.test_launcher import is_gone
from tests.runs.commands import BUNDLES

BUSY = """
import sys, time
from dsfedmed.federated.site import worker
def work(site, task, folder):
    print("working", flush=True)
    time.sleep(60)
worker.answer_from_files = work
worker.main(sys.argv[1:])
"""
SITE = """
import sys
from pathlib import Path
from dsfedmed.federated.site import worker_process
from dsfedmed.federated.wire.message import Message
local, folder, program = map(Path, sys.argv[1:])
worker_process.sys.executable = str(program)
child = worker_process.WorkerProcess("site_a", local, folder, 1)
def tell():
    if "working" in (folder / "worker.log").read_text():
        print(child._process.pid, flush=True)
    return False
child.run("dsf_facts", Message(), tell)
"""


def test_a_worker_in_the_middle_of_a_task_ends_with_its_site(tmp_path: Path) -> None:
    make_demo_sites(tmp_path / "sites", 0, ("site_a",), training=2, validation=2, test=1)
    (tmp_path / "local").mkdir()
    write_party_config(tmp_path / "local", SimulatedSites(tmp_path / "sites", tmp_path / "run", BUNDLES))
    (tmp_path / "busy.py").write_text(BUSY)
    program = tmp_path / "busy"  # takes "-m dsfedmed.federated.site.worker" and then the worker's own words
    program.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {tmp_path}/busy.py "$@"\n')
    program.chmod(0o755)
    words = [str(tmp_path / name) for name in ("local", "site", "busy")]
    (tmp_path / "site").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    site = subprocess.Popen([sys.executable, "-c", SITE, *words], stdout=subprocess.PIPE, text=True, env=environment)
    assert site.stdout is not None
    worker = mark_of(int(site.stdout.readline()))
    site.kill()
    site.wait()
    assert is_gone(worker)
    site.stdout.close()
