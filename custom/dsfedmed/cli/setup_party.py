# SPDX-License-Identifier: Apache-2.0
"""Set up a startup kit: allow this package's classes, write the party's own settings, lay its policies over the kit.

Run it once, at the site, before the kit is started. Nothing of it leaves the site. ``{run}`` in a path stands for the
key of a run, so that every configuration has a folder of its own and an interrupted run is resumed.

Examples:
  dsfedmed setup-party kits/hospital_a --data /data/breast_us --output /srv/dsfedmed/{run} --bundles bundles
  dsfedmed setup-party kits/hospital_a --data ... --policies poc/sites/hospital_a/local poc/policies/guarded
  dsfedmed setup-party kits/fl.example.org --run /srv/dsfedmed/runs/{run} --storage /srv/nvflare --bundles bundles
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed.installation.shipped import bundles, shipped
from dsfedmed.store.json_types import Json


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="folder of the startup kit")
    parser.add_argument("--policies", type=Path, nargs="+", default=[], metavar="DIR",
                        help="folders copied over the kit's local/, the last on top; a plain name, such as guarded, is "
                             "one of the policies that came with dsfedmed")  # fmt: skip
    parser.add_argument("--bundles", type=Path, help="folder of the bundles (default: those that came with dsfedmed)")
    parser.add_argument("--bundle-classes", nargs="+", metavar="CLASS",
                        help="what bundles may name beyond the package's own list, as exact dotted names")  # fmt: skip
    parser.add_argument(
        "--teacher",
        type=Path,
        help="weights file of the teacher; at sites where it is frozen",
    )
    parser.add_argument("--generator", type=Path, help="Stable Diffusion folder, where the run's generator needs one")
    parser.add_argument("--device", default="cpu", help="torch device, such as cpu or cuda (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the heavy work (default: 1)")
    site = parser.add_argument_group("a site")
    site.add_argument("--data", type=Path, help="folder with the site's datalist.json")
    site.add_argument("--output", type=Path, help="folder for what the site keeps; may contain {run}")
    site.add_argument("--workers", type=int, default=0, help="processes that augment images, beside a GPU (default: 0)")
    site.add_argument("--memory-gib", type=float, help="memory limit of the heavy work, GiB (default: none)")
    server = parser.add_argument_group("the server")
    server.add_argument("--run", type=Path, dest="run_folder", help="folder of runs; should contain {run}")
    other = "continue with sites whose versions are not the server's"
    server.add_argument("--other-versions", action="store_true", help=other)
    server.add_argument("--storage", type=Path, help="folder of NVFlare's jobs; its default is below /tmp")
    server.add_argument("--public", type=Path, help="labelled folder that everyone may see (SAM-Fed)")
    server.add_argument("--light-weights", type=Path, help="weights file of the light network")
    server.add_argument("--generator-base", type=Path, help="file of the generator's base, for `generator.base: given`")


def run(args: argparse.Namespace) -> int:
    """Write the kit's ``local`` folder and say what stands there now."""
    from dsfedmed.federated.party.config import FILE_NAME, load_party_config
    from dsfedmed.flare.deployment.kits import allow_package, configure_party, copy_policies, is_server_kit

    is_server = is_server_kit(args.kit)
    values = _server_values(args) if is_server else _site_values(args)
    for folder in args.policies:
        copy_policies(_policies(folder), args.kit)
    allow_package(args.kit, args.storage.resolve() if is_server and args.storage else None)
    common = {
        "bundles": args.bundles or bundles(),
        "teacher": args.teacher,
        "generator": args.generator,
        "device": args.device,
    }
    configure_party(args.kit, {**values, **common, "bundle_classes": args.bundle_classes})
    load_party_config(args.kit / "local", args.kit.name)
    print(f"{args.kit} is set up; its settings are in {args.kit / 'local' / FILE_NAME}. Next:")
    if not is_server:
        print(f"  dsfedmed check-site {args.data}")
    starts = [name for name in ("start.sh", "start_docker.sh") if (args.kit / "startup" / name).exists()]
    print("\n".join([f"  nvflare preflight-check -p {args.kit}", *(f"  {args.kit}/startup/{s}" for s in starts[:1])]))
    return 0


def _policies(folder: Path) -> Path:
    """Return the folder, or the policies of that name that came with the package.

    Raises:
        ConfigError: there are neither.
    """
    if folder.is_dir():
        return folder
    known = {path.name: path for path in (shipped("poc") / "policies").iterdir() if path.is_dir()}
    if str(folder) not in known:
        reason = "no such folder, and none of the policies that came with dsfedmed"
        raise ConfigError(f"--policies {folder}", reason, f"Policies: {', '.join(sorted(known))}")
    return known[str(folder)]


def _server_values(args: argparse.Namespace) -> dict[str, Path | Json]:
    _need(args, "run_folder", "--run")
    own: dict[str, Path | Json] = {"run": args.run_folder, "public": args.public, "server_threads": args.threads}
    own["other_versions"] = args.other_versions or None
    return {**own, "light_weights": args.light_weights, "generator_base": args.generator_base}


def _site_values(args: argparse.Namespace) -> dict[str, Path | Json]:
    _need(args, "data", "--data")
    _need(args, "output", "--output")
    work = {"threads": args.threads, "workers": args.workers, "memory_gib": args.memory_gib}
    return {"data": args.data, "output": args.output, **work}


def _need(args: argparse.Namespace, name: str, option: str) -> None:
    if getattr(args, name) is None:
        raise ConfigError(option, "is not given", "Say where it is: `dsfedmed setup-party --help`")
