# SPDX-License-Identifier: Apache-2.0
"""The steps of `dsfedmed poc`, one function each."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites, site_folders, with_plain_names
from dsfedmed.federated.party.run_key import run_key
from dsfedmed.flare.deployment.federation import take_results
from dsfedmed.flare.deployment.guardian import LOCK as GUARDED
from dsfedmed.flare.deployment.guardian import guarded
from dsfedmed.flare.deployment.poc import PORT, Poc
from dsfedmed.flare.recipe import export_job
from dsfedmed.installation.shipped import bundles, job_folder
from dsfedmed.settings import Settings, read_run
from dsfedmed.store.files import read_json, write_json
from dsfedmed.store.run_lock import JOB, run_lock

HOURS = 3600.0
ALONE = ("all", "prepare", "start")
"""Steps of which one at a time works on the folder."""
ENDING_S = 30.0
"""How long the parties of a killed command may take to end."""


def run_step(args: argparse.Namespace) -> int:
    """Do one step, or all of them; the parties are stopped at the end of ``all``, whatever happens, a kill included.

    Raises:
        StoreError: another command sets up, starts or runs the federation in this folder.
    """
    poc, step = Poc(args.work), STEPS[args.step]
    if args.step not in ALONE:
        return step(poc, args)
    with run_lock(poc.work, JOB) as dead:
        with run_lock(poc.work, GUARDED, patience_s=ENDING_S if dead else 0):  # parties of a killed command still end
            pass
        if dead:
            print(f"taken over from {dead}, which ended without a word", flush=True)
        return step(poc, args)


def _all(poc: Poc, args: argparse.Namespace) -> int:
    _prepare(poc, args)
    with guarded(poc):
        try:
            _start(poc, args)
            _submit(poc, args)
            _watch(poc, args)
            return _fetch(poc, args)
        finally:
            _stop(poc, args)


def _prepare(poc: Poc, args: argparse.Namespace) -> int:
    if args.sites is None:
        raise ConfigError("--sites", "is not given", "Give a folder with one folder per site")
    running = ", ".join(map(str, poc.running()))
    if running:
        reason = f"its federation runs (processes {running}), and new certificates would cut it off"
        raise ConfigError(poc.work, reason, "Stop it with `dsfedmed poc stop`, or choose another --work")
    layout = SimulatedSites(
        sites=args.sites,
        run=poc.work,
        bundles=args.bundles or bundles(),
        teacher=args.teacher,
        device=args.device,
        threads=args.threads,
        server_threads=args.server_threads,
        public=args.public,
        generator_base=args.generator_base,
    )
    print(f"{poc.work}: startup kits for the server and {', '.join(poc.prepare(layout, args.port or PORT))}")
    return 0


def _start(poc: Poc, args: argparse.Namespace) -> int:  # noqa: ARG001 (one signature for all steps)
    poc.start()
    print(f"connected: {', '.join(poc.user().connected())}")
    return 0


def _submit(poc: Poc, args: argparse.Namespace) -> int:
    settings = _settings(args)
    job = export_job(settings, poc.work / "jobs", method=args.method)
    job_id = poc.user().submit(job)
    write_json(poc.work / "job.json", {"id": job_id, "run": run_key(settings, args.method)})
    print(f"submitted {job} as {job_id}")
    return 0


def _watch(poc: Poc, args: argparse.Namespace) -> int:
    job = _job(poc)
    status = poc.user().wait(job["id"], args.hours * HOURS, _teller(poc.run_folder(job["run"]) / "status.json"))
    print(f"NVFlare says {status}; the run's own record decides (`dsfedmed poc fetch`)")
    return 0


def _fetch(poc: Poc, args: argparse.Namespace) -> int:  # noqa: ARG001 (one signature for all steps)
    verdict = take_results(poc.user().fetch(_job(poc)["id"], poc.work / "downloads"), poc.results)
    print(f"{verdict}; see {poc.results / 'report.html'}")
    return 0 if verdict == "complete" else 1


def _stop(poc: Poc, args: argparse.Namespace) -> int:  # noqa: ARG001 (one signature for all steps)
    poc.stop()
    print("stopped")
    return 0


STEPS: dict[str, Callable[[Poc, argparse.Namespace], int]] = {
    "all": _all,
    "prepare": _prepare,
    "start": _start,
    "submit": _submit,
    "watch": _watch,
    "fetch": _fetch,
    "stop": _stop,
}


def _settings(args: argparse.Namespace) -> Settings:
    """Lay the command line over the preset."""
    if args.preset is None:
        raise ConfigError("--preset", "is not given", "Give a preset file, such as jobs/dsfedmed/presets/demo.yaml")
    settings = read_run(args.preset, args.set, presets=job_folder(args.method) / "presets", unseen=args.unseen)
    return settings if args.sites is None else with_plain_names(settings, site_folders(args.sites))


def _job(poc: Poc) -> dict[str, Any]:
    """Return id and run key of the job submitted last."""
    path = poc.work / "job.json"
    if not path.exists():
        raise ConfigError(path, "does not exist", "Submit a job first: `dsfedmed poc submit`")
    job: dict[str, Any] = read_json(path)
    return job


def _teller(status: Path) -> Callable[[], None]:
    """Return a function that prints the server's last word when it has changed."""
    said = ""

    def tell() -> None:
        nonlocal said
        if status.exists():
            state = read_json(status)
            line = f"{state['stage']}: {state['last']}"
            if line != said:
                print(line, flush=True)
                said = line

    return tell
