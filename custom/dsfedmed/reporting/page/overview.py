# SPDX-License-Identifier: Apache-2.0
"""The head of the page: verdict, the figures that matter, and what ran."""

from __future__ import annotations

from typing import Any

from dsfedmed.methods import METHODS, MODELS, required_models
from dsfedmed.reporting.advice.words import remarks
from dsfedmed.reporting.methods import BY_KEY, baselines, display_name, short_name
from dsfedmed.reporting.page.html import Markup, Section, dot, join, note, nothing, table, tag
from dsfedmed.reporting.page.words import first_words
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.units import byte_text, count_text, seconds_text, signed, signed_interval_text

PARTS = ("training", "validation", "test")


def header(results: dict[str, Any]) -> Markup:
    """Return the run's name, which method to use and why, whether the run is complete, and the headline figures."""
    complete = results["verdict"] == "complete"
    badge = tag("span", "run complete" if complete else "run incomplete", css="badge")
    facts = [f"preset {results['preset']}", f"seed {results['seed']}", f"started {_time(results['started'])}"]
    if results["stages"]:
        facts.append(f"{seconds_text(sum(results['stages'].values()))} in all")
    why = Markup("") if complete else tag("p", results["verdict"], css="verdict")
    return join(
        (
            tag("p", f"{display_name(results['method'])} federation", css="kicker"),
            tag("h1", results["name"]),
            tag("p", results["advice"]["sentence"], css="advice"),
            *(tag("p", text, css="made-up") for text in remarks(results)),
            tag("div", *_cards(results), css="cards"),
            first_words(),
            tag("p", badge, " ", " \N{MIDDLE DOT} ".join(facts), css="facts"),
            why,
            _missing(results["missing"]),
        )
    )


def what_ran(record: Record, results: dict[str, Any]) -> Section:
    """Return the sites, the methods and the sizes of the networks."""
    body = (
        note(
            f"{len(record.training_sites)} source sites trained together; {len(record.unseen)} held out "
            f"({', '.join(record.unseen) or 'none'}). Classes: {', '.join(results['label_names']) or 'not recorded'}. "
            f"{_where_images_stayed(results, record.label_site)}; {_what_chose(record)}; every test part and the "
            f"unseen site were read once, at the end.{_who_was_heard(record)}"
        ),
        _sites(record),
        _noise(results),
        _private_branches(results),
        _methods(results),
        _beyond(results),
        _sizes(record, results),
    )
    return Section("ran", "What ran", join(body))


def _time(value: str | None) -> str:
    """Return an ISO time to the minute."""
    return value[:16].replace("T", " ") if value else "not recorded"


def _missing(missing: list[str]) -> Markup:
    """Return what a complete run would show and this one cannot."""
    if not missing:
        return Markup("")
    return tag("div", tag("strong", "Not there:"), tag("ul", *(tag("li", what) for what in missing)), css="missing")


def _cards(results: dict[str, Any]) -> list[Markup]:
    """Return the headline figures as cards."""
    ours, our_name = results["methods"].get(results["method"], {}), display_name(results["method"])
    cards = []
    for group, name in (("unseen", "Unseen sites"), ("seen", "Seen sites")):
        if ours.get(group):
            dice = ours[group]["dice"]
            cards.append(
                _card(
                    f"{our_name}, {name.lower()}",
                    f"{dice['mean']:.1f} %",
                    f"Dice, 95 % interval {dice['low']:.1f} to {dice['high']:.1f}",
                )
            )
    key = results["advice"]["by"]
    if key:
        comparison = results["comparisons"][key]
        name = "equal training steps" if key == "equal_steps" else "equal rounds"
        cards += [
            _card(
                f"Against {short_name(comparison['baseline'])}, {name}: {group}",
                signed(comparison[group]["dice"]["mean"]),
                "Dice points " + signed_interval_text(comparison[group]["dice"]).partition(" ")[2],
            )
            for group in ("unseen", "seen")
            if comparison[group]
        ]
    return [*cards, *_cost_cards(results)]


def _cost_cards(results: dict[str, Any]) -> list[Markup]:
    """Return what a training site sent and got, beside each baseline's."""
    moved = results["bytes"]["to_train"]
    if results["method"] not in moved:
        return []
    others = {display_name(key): moved[key] for key in baselines(results["method"]).values() if key in moved}
    beside = "; ".join(f"{name} {byte_text(count)}" for name, count in others.items())
    return [_card("To and from one hospital", byte_text(moved[results["method"]]), beside or "up and down, to train")]


def _card(title: str, value: str, below: str) -> Markup:
    """One headline figure."""
    return tag("div", tag("p", title), tag("b", value), tag("span", below), css="card")


def _where_images_stayed(results: dict[str, Any], label_site: str = "") -> str:
    """Return the page's claim on images, with its exceptions: the upper bound, and a site that plays the public set."""
    claim = "Images never left their site"
    if label_site:
        return f"{claim}, but for those of {label_site}, which plays the public set"
    return f"{claim}, but for the centralised upper bound" if "centralised" in results["methods"] else claim


def _what_chose(record: Record) -> str:
    """Return what chose the round, in words."""
    if record.method not in METHODS or not METHODS[record.method].public:
        return "validation on the source sites chose the round"
    options = record.mapping("config").get("method") or {}
    if options.get("select") == "public":
        return "the public set's validation part chose the round"
    return "the last round is the result"


def _who_was_heard(record: Record) -> str:
    """Return a sentence on SAM-Fed's gate; empty where there is none."""
    heard = record.data.get("rounds_with_teacher")
    if heard is None:
        return ""
    rounds = record.mapping("config").get("rounds")
    return (
        f" SAM was heard in {heard} of {rounds} rounds: it is while it is no worse on the public set than its student."
    )


def _sites(record: Record) -> Markup:
    """Images per part of every site."""
    facts = record.mapping("facts")
    rows = []
    for site in record.all_sites:
        counts = (facts.get(site) or {}).get("counts") or {}
        role = "unseen" if site in record.unseen else "labels" if site == record.label_site else "source"
        rows.append((site, tag("span", role, css=f"role {role}"), *(counts.get(part, "-") for part in PARTS)))
    if not rows:
        return nothing("No sites recorded.")
    return table(("Site", "Role", "Training images", "Validation", "Test"), rows)


def _noise(results: dict[str, Any]) -> Markup:
    """Return what sites that add noise to their updates stated last; nothing where none does."""
    rows = []
    for site, said in results.get("privacy", {}).items():
        epsilon = said["epsilon"]
        spent = "above 700" if epsilon is None else f"{epsilon:.3g}"
        rows.append(
            (site, f"{said['clip']:g}", f"{said['noise_multiplier']:g}", said["releases"], spent, said["delta"])
        )
    if not rows:
        return Markup("")
    columns = ("Site with noise", "Clipped to", "Noise multiplier", "Noisy updates", "Epsilon so far", "Delta")
    return join((note("Some sites clip their updates and add noise; they stated this, over all runs."),
                 table(columns, rows)))  # fmt: skip


def _private_branches(results: dict[str, Any]) -> Markup:
    """Return what sites stated about branches that they fitted privately; nothing where none did."""
    rows = [
        (site, f"{said['epsilon']:.3g}", f"{said['delta']:.2g}", f"{said['noise_multiplier']:.3g}",
         f"{said['clip']:g}", said["branches"], f"{said['total_epsilon']:.3g}")
        for site, said in results.get("branch_privacy", {}).items()
    ]  # fmt: skip
    if not rows:
        return Markup("")
    columns = ("Site with a private branch", "Epsilon", "Delta", "Noise multiplier", "Clipped to",
               "Private branches so far", "Epsilon of all")  # fmt: skip
    return join((note("These sites fitted their branch with differential privacy of each patient. It covers the branch "
                      "alone: not the masks, the updates or the scores."), table(columns, rows)))  # fmt: skip


def _methods(results: dict[str, Any]) -> Markup:
    """Return what each compared method is, and which round was chosen."""
    rows = []
    for method in MODELS:
        if method.key not in results["methods"] and method.key not in required_models(results["method"]):
            continue
        chosen = results["selected"].get(method.key) or {}
        steps = chosen.get("local_steps")
        rows.append(
            (
                join((dot(method.colour), method.name)),
                BY_KEY[method.key].meaning,
                _round(chosen.get("round")) + (", before any distillation" if chosen.get("distillations") == 0 else ""),
                "-" if steps is None else f"{steps:,}",
            )
        )
    return table(("Method", "What it is", "Chosen round", "Training steps until then"), rows, css="second-left")


def _beyond(results: dict[str, Any]) -> Markup:
    """Return what the run does that its method's paper does not."""
    found = "; ".join(results.get("beyond_paper", ())) or "nothing that is switched on"
    return note(f"Beyond the paper of {display_name(results['method'])}: {found}.")


def _round(number: int | None) -> str:
    return "-" if number is None else "0 (start)" if number == 0 else str(number)


def _sizes(record: Record, results: dict[str, Any]) -> Markup:
    """Parameters and time per image of each network."""
    names = {
        "light": "Light network",
        "teacher": "Teacher",
        "branch": "Generator branch (per site)",
        "base": f"Base generator{_where_base_is_from(record)}",
    }
    rows = []
    for key, name in names.items():
        if key in results["parameters"]:
            speed = results["inference_ms"].get(key)
            rows.append((name, count_text(results["parameters"][key]), "-" if speed is None else f"{speed:.1f} ms"))
    return table(("Network", "Parameters", "Time per image"), rows) if rows else Markup("")


def _where_base_is_from(record: Record) -> str:
    """Return the file that the generator's base came from, in words; empty where the sites trained it or had it."""
    given = record.mapping("generator_base")
    return f" (given: {given['file']}, sha256 {given['sha256'][:12]})" if given else ""
