# SPDX-License-Identifier: Apache-2.0
"""The page's terms in plain words."""

from __future__ import annotations

from dsfedmed.reporting.page.html import Markup, Section, tag

WORDS = {
    "Dice": "how far the method's outline and the expert's overlap: 100 % is the same area, 0 % is none in common",
    "IoU": "the same question, asked more strictly: what both marked, over what either marked",
    "HD95": "how far the two outlines are apart where they differ most (all but the worst 5 %), in pixels: 0 is best",
    "seen, unseen": "seen hospitals took part in the training, and are tested on images kept back; unseen ones took no "
    "part, which shows how the network does somewhere new",
    "95 % interval": "where the mean would lie if other patients of these hospitals had been tested; a difference is "
    "not clear where its interval contains 0",
    "round": "all hospitals train for a while, and the server averages what they learned",
    "training step": "one small correction of the network; as many steps for both methods is the fair comparison",
    "FedAvg": "the plain method: hospitals train the same network and the server averages it",
    "light network": "the small network that hospitals use in the end",
    "teacher": "a large network (SAM) that learns from synthetic images and teaches the light one",
    "learnability": "how much the light network can still learn from a synthetic image",
    "synthetic set": "images that the server draws in the manner of each hospital, each with its mask",
    "branch": "a small addition to the image generator, which a hospital fits on its own images and sends once",
    "head start": "training of the light network on the synthetic set before the first round",
    "source site": "a hospital that took part in the training",
    "audit": "each hospital's own check that no synthetic image is a copy of one of its own",
}


def words() -> Section:
    """Return the glossary."""
    entries = [part for term, meaning in WORDS.items() for part in (tag("dt", term), tag("dd", meaning))]
    return Section("words", "Words", tag("dl", *entries, css="words"))


def first_words() -> Markup:
    """Return the words that the figures at the head need."""
    said = "Dice: how far two outlines overlap, 100 % is the same. Seen hospitals took part; unseen ones did not. "
    return tag("p", said, tag("a", "All words", href="#words"), css="facts")
