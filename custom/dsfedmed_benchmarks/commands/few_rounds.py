# SPDX-License-Identifier: Apache-2.0
r"""Few rounds of the light network: DSFedMed and FedAvg, each tuned with the same budget, on the same sites.

The arms and their grids are read from a YAML file, by default the one beside the job. For every held-out site and
number of rounds each arm's point is chosen with the first seed by the source sites' validation, and then used for
every seed. All arms of a held-out site and seed share one generator run. What is complete is not done again: repeat the
command until everything is. --leave SITE=ROUND has a site leave after so many rounds; it is scored at the end.

Examples:
  python -m dsfedmed_benchmarks few-rounds --sites DIR/nuclei --unseen fluo360 --rounds 5 20 --out runs/few_rounds
  python -m dsfedmed_benchmarks few-rounds --sites DIR/nuclei --unseen fluo360 --rounds 5 --seeds 0 \
      --arms jobs/baselines/few_rounds.yaml --out runs/baselines
  python -m dsfedmed_benchmarks few-rounds --sites DIR/breast --unseen busi --rounds 20 --label-site busbra_aplio300 \
      --arms jobs/unlabelled/few_rounds.yaml --out runs/unlabelled
  python -m dsfedmed_benchmarks few-rounds --sites DIR/nuclei --unseen fluo360 --rounds 20 --leave histology=7 \
      --out runs/leaving --generators runs/few_rounds
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.federated.party.layout import require_sites
from dsfedmed.methods import METHODS
from dsfedmed.reporting.record import Record
from dsfedmed.store.files import write_text
from dsfedmed_benchmarks.studies.study import JobRun, Study, job_run, records_argument
from dsfedmed_benchmarks.studies.tuned.arms import METHOD, Arm, Arms, read_arms
from dsfedmed_benchmarks.studies.tuned.figure import tuned_rounds_figure
from dsfedmed_benchmarks.studies.tuned.outcomes import ArmResult, best_point, outcome_of
from dsfedmed_benchmarks.studies.tuned.table import Cell, tuned_rounds_markdown

TABLE = "few_rounds.md"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs, the table and the pictures")
    parser.add_argument("--records", type=Path, metavar="PATH", help="records of complete runs: DIR, or ARCHIVE/PART")
    parser.add_argument("--arms", type=Path, help="YAML file of the arms (JOBS/dsfedmed/few_rounds.yaml)")
    parser.add_argument("--only-arms", nargs="+", metavar="KEY", help="some of the file's arms (all)")
    parser.add_argument("--unseen", nargs="+", metavar="SITE", help="sites to hold out, one after another (all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="seeds (0 1 2)")
    parser.add_argument("--rounds", nargs="+", type=int, default=[5, 20], metavar="N", help="numbers of rounds (5 20)")
    parser.add_argument("--leave", metavar="SITE=ROUND", help="a site that leaves after so many rounds")
    permitted = "the sites' folders may share amplitudes of their images (FedDG's arm)"
    parser.add_argument("--send-amplitudes", action="store_true", help=permitted)
    parser.add_argument("--label-site", metavar="SITE", help="whose labels are public, for methods without labels")
    parser.add_argument("--preset", default="few_rounds", help="preset of DSFedMed's jobs (few_rounds); others: cpu")
    parser.add_argument("--jobs", type=Path, default=Path("jobs"), help="folder of the jobs (jobs)")
    parser.add_argument("--generators", type=Path, metavar="DIR", help="folder with the generator runs (--out)")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="runs at a time (1)")
    parser.add_argument("--only-table", action="store_true", help="run nothing; table and pictures of what is there")


def run(args: argparse.Namespace) -> int:
    """Do what is missing; return 0 when every run is complete."""
    arms = read_arms(args.arms or args.jobs / METHOD / "few_rounds.yaml")
    plan = Comparison(args, arms)
    if not args.only_table:
        for runs in plan.phases():
            study = Study(tuple(runs), args.out, records_argument(args.records))
            study.make(lambda: plan.write(), args.at_once)
    plan.write()
    print((args.out / TABLE).read_text(encoding="utf-8"))
    for name in plan.lacking():
        print(f"not complete: {name}; the same command resumes it", file=sys.stderr)
    return 1 if plan.lacking() else 0


@dataclass(frozen=True)
class Comparison:
    """The runs of a tuned comparison."""

    args: argparse.Namespace
    arms: Arms

    def phases(self) -> Iterator[list[JobRun]]:
        """Yield what can be run next: the grids with the first seed, then the chosen points with the others."""
        yield from self._fitted(self.grids())
        chosen = [
            self._run(arm, unseen, rounds, point, seed)
            for seed in self.args.seeds[1:]
            for unseen, rounds in self._cells()
            for arm in self._arms(rounds)
            if (point := self._chosen(arm, unseen, rounds)) is not None
        ]
        yield from self._fitted(chosen)

    def _fitted(self, runs: list[JobRun]) -> Iterator[list[JobRun]]:
        """Fit the generators that runs lack which are not complete, an hour each; yield the runs."""
        reusing = [run for run in runs if "--reuse" in run.command]
        lacking = {(run.planned.unseen, run.planned.seed) for run in reusing if self._record(run) is None}
        needed = [draw for draw in self._draws() if ((draw[0],), draw[1]) in lacking]
        folder = self.args.generators or self.args.out
        Study(tuple(self._generator(*draw) for draw in needed), folder).make(lambda: None, self.args.at_once)
        yield runs

    def grids(self) -> list[JobRun]:
        """Return the runs of every point with the first seed."""
        return [
            self._run(arm, unseen, rounds, point, self.args.seeds[0])
            for unseen, rounds in self._cells()
            for arm in self._arms(rounds)
            for point in range(len(arm.grid))
        ]

    def results(self) -> dict[Cell, list[ArmResult]]:
        """Return what is complete, by held-out site and rounds."""
        found: dict[Cell, list[ArmResult]] = {}
        for unseen, rounds in self._cells():
            for arm in self._arms(rounds):
                point = self._chosen(arm, unseen, rounds)
                if point is not None:
                    outcomes = {
                        seed: outcome_of(record, arm)
                        for seed in self.args.seeds
                        if (record := self._record(self._run(arm, unseen, rounds, point, seed))) is not None
                    }
                    tried = tuple(100 * value for value in self._tried(arm, unseen, rounds) if value is not None)
                    found.setdefault((unseen, rounds), []).append(ArmResult(arm, rounds, point, outcomes, tried))
        return found

    def lacking(self) -> list[str]:
        """Name what is not complete; a point that is not chosen yet stands for its arm."""
        names = []
        for unseen, rounds in self._cells():
            for arm in self._arms(rounds):
                point = self._chosen(arm, unseen, rounds)
                if point is None:
                    names.append(f"{arm.name}, {rounds} rounds, {unseen} held out: its grid")
                    continue
                for seed in self.args.seeds:
                    if self._record(self._run(arm, unseen, rounds, point, seed)) is None:
                        names.append(f"{arm.name}, {rounds} rounds, {unseen} held out, seed {seed}")
        return names

    def write(self) -> None:
        """Write the table, and a picture per held-out site, of what is there."""
        results = self.results()
        write_text(self.args.out / TABLE, tuned_rounds_markdown(results, self.lacking()))
        for unseen in dict.fromkeys(unseen for unseen, _ in results):
            shown = [result for (site, _), found in results.items() if site == unseen for result in found]
            if (picture := tuned_rounds_figure(shown)) is not None:
                write_text(self.args.out / f"few_rounds-{unseen}.svg", picture)

    def _draws(self) -> Iterator[tuple[str, int]]:
        names = require_sites(self.args.sites, self.args.unseen or [], "few-rounds")
        for seed in self.args.seeds:
            for unseen in self.args.unseen or names:
                yield unseen, seed

    def _cells(self) -> Iterator[Cell]:
        for unseen in dict.fromkeys(unseen for unseen, _ in self._draws()):
            for rounds in self.args.rounds:
                yield unseen, rounds

    def _arms(self, rounds: int) -> list[Arm]:
        keys = self.args.only_arms
        wanted = [arm for arm in self.arms.arms if keys is None or arm.key in keys]
        return [arm for arm in wanted if not arm.rounds or rounds in arm.rounds]

    def _chosen(self, arm: Arm, unseen: str, rounds: int) -> int | None:
        """Return the arm's best point by the first seed's source-site validation, once all its points are there."""
        return best_point(self._tried(arm, unseen, rounds))

    def _tried(self, arm: Arm, unseen: str, rounds: int) -> list[float | None]:
        """Return the validation of every point with the first seed, 0 to 1; None for one that is not complete."""
        first = self.args.seeds[0]
        records = [self._record(self._run(arm, unseen, rounds, point, first)) for point in range(len(arm.grid))]
        return [_validation(record, arm) for record in records]

    def _record(self, run: JobRun) -> Record | None:
        record = Study((run,), self.args.out, records_argument(self.args.records)).record(run)
        return record if record is not None and record.complete else None

    def _run(self, arm: Arm, unseen: str, rounds: int, point: int, seed: int) -> JobRun:
        name = f"{arm.key}-{unseen}-r{rounds}-p{point}-{seed}"
        preset = self.args.preset if arm.method == METHOD else "cpu"
        words = [*self._words(unseen, seed, preset), *arm.words(point, rounds)]
        words += ["--leave", self.args.leave] if self.args.leave else []
        words += ["--send-amplitudes"] if self.args.send_amplitudes and arm.method == "feddg" else []
        if self.args.label_site and METHODS[arm.method].public:
            words += ["--label-site", self.args.label_site]
        if arm.method == METHOD:
            source = Path(self.args.generators or self.args.out) / self._generator_name(unseen, seed)
            words += ["--reuse", str(source)]
        return job_run(name, self.args.jobs, arm.method, self.args.sites, words)

    def _generator(self, unseen: str, seed: int) -> JobRun:
        words = [*self._words(unseen, seed, self.args.preset), *self.arms.generator_words()]
        return job_run(self._generator_name(unseen, seed), self.args.jobs, METHOD, self.args.sites, words)

    def _generator_name(self, unseen: str, seed: int) -> str:
        return f"generator-{unseen}-{seed}"

    def _words(self, unseen: str, seed: int, preset: str) -> list[str]:
        words: Mapping[str, str] = {"--unseen": unseen, "--preset": preset, "--seed": str(seed)}
        return ["--engine", "local", *(word for pair in words.items() for word in pair)]


def _validation(record: Record | None, arm: Arm) -> float | None:
    return None if record is None else float(record.mapping("selected")[arm.counts]["validation_dice"])
