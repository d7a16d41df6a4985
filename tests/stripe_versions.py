"""
The tables of docs/stripe-versions.md that say what becomes of the corpus: made, and written into the document.

Edge: files. Once the code reads more, or the corpus has more: `python -m tests.stripe_versions`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.corpus import CORPUS, Outcome, Realism, Specimen, specimens

DOCUMENT = Path(__file__).parents[1] / "docs" / "stripe-versions.md"
BEGIN, END = "<!-- made by tests/stripe_versions.py -->", "<!-- end of what is made -->"

ERAS = (
    ("2025-03-31.basil and later", "2025-03-31"),
    ("2022-11-15 to 2025-02-24.acacia", "2022-11-15"),
    ("2019-03-14 to 2022-08-01", "2019-03-14"),
    ("before 2019-03-14", "0"),
)
"""The newest first, each with the version that it begins with; what no version is known of comes after them."""

UNKNOWN = "not known"

FAMILIES = (
    ("invoice events", "invoice."),
    ("invoice payments", "invoice_payment."),
    ("credit notes", "credit_note."),
    ("refunded charges", "charge.refunded"),
    ("refunds", "refund."),
    ("disputes", "charge.dispute."),
    ("subscriptions ended", "customer.subscription.deleted"),
    ("subscriptions, otherwise", "customer.subscription."),
    ("invoice items", "invoiceitem."),
)
"""What events are about, by how their types begin; the first counts."""

INVOICES_ALONE = "invoices by themselves"


def tables(found: Sequence[Specimen]) -> str:
    """All that is made, as Markdown: by what it is and era, by version, and why some were not read."""
    return "\n".join(
        [
            BEGIN,
            "",
            *_counts("what", lambda each: f"{family(each)} | {era(each)}", found, _families(), second="API version"),
            "",
            *_counts("API version", lambda each: each.version or UNKNOWN, found, _versions(found)),
            "",
            *_reasons(found),
            "",
            END,
        ]
    )


def family(specimen: Specimen) -> str:
    """What a file is about."""
    if specimen.kind == "invoice":
        return INVOICES_ALONE
    return next(name for name, beginning in FAMILIES if specimen.type.startswith(beginning))


def era(specimen: Specimen) -> str:
    """In which versions a file is."""
    if not specimen.version:
        return UNKNOWN
    return next(name for name, since in ERAS if specimen.version >= since)


def _families() -> list[str]:
    names = ["invoice events", INVOICES_ALONE, *(name for name, _ in FAMILIES[1:])]
    return [f"{name} | {since}" for name in names for since in (*(era for era, _ in ERAS), UNKNOWN)]


def _versions(found: Iterable[Specimen]) -> list[str]:
    return [*sorted({each.version for each in found if each.version}, reverse=True), UNKNOWN]


def _counts(
    title: str,
    row_of: Callable[[Specimen], str],
    found: Sequence[Specimen],
    order: Sequence[str],
    *,
    second: str | None = None,
) -> list[str]:
    """A table with a row for each name that *row_of* gives any file, in *order*, and their sum below."""
    rows = {name: [each for each in found if row_of(each) == name] for name in order}
    titles = [title, *([second] if second else []), "files", *Outcome, *Realism]
    filled = [_row(name, inside) for name, inside in rows.items() if inside]
    return [
        _line(titles),
        _line(["---"] * (1 + bool(second)) + ["---:"] * (1 + len(Outcome) + len(Realism))),
        *filled,
        _row(f"**all** {'| ' if second else ''}", found),
    ]


def _row(name: str, inside: Sequence[Specimen]) -> str:
    outcomes, realism = Counter(each.outcome for each in inside), Counter(each.realism for each in inside)
    numbers = [len(inside), *(outcomes[each] for each in Outcome), *(realism[each] for each in Realism)]
    return _line([name, *(str(number) if number else "" for number in numbers)])


def _reasons(found: Sequence[Specimen]) -> list[str]:
    reasons = Counter((each.outcome.value, each.why) for each in found if each.why)
    rows = []
    for (outcome, why), number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        inside = [each for each in found if (each.outcome.value, each.why) == (outcome, why)]
        versions = sorted({each.version or UNKNOWN for each in inside})
        shown = versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
        if UNKNOWN in versions and len(versions) > 1:
            shown = (
                f"{versions[0]} to {versions[-2]}, or not known"
                if len(versions) > 2
                else f"{versions[0]}, or not known"
            )
        rows.append(_line([outcome, why, str(number), shown]))
    return [_line(["outcome", "why", "files", "API versions"]), _line(["---", "---", "---:", "---"]), *rows]


def _line(cells: Iterable[str]) -> str:
    return re.sub(r" +", " ", f"| {' | '.join(cells)} |")


def made(document: str) -> str:
    """The part of the document between the two marks, with them."""
    return document[document.index(BEGIN) : document.index(END) + len(END)]


def faults(document: str) -> list[str]:
    """What is wrong with the tables: sums that are not their rows' and, beside a corpus, that they are out of date."""
    part = made(document)
    found = [fault for table in part.split("\n\n") for fault in _wrong_sums(table.splitlines())]
    if CORPUS.is_dir() and part != tables([*specimens()]):
        found.append("the tables are not what becomes of the corpus today: run `python -m tests.stripe_versions`")
    return found


def _wrong_sums(lines: Sequence[str]) -> list[str]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    if not rows or not rows[-1][0].startswith("**all**"):
        return []
    titles, _, *counted, last = rows
    wrong = []
    for place, title in enumerate(titles):
        if title in {"files", *Outcome, *Realism}:
            number = sum(int(row[place] or 0) for row in counted)
            if number != int(last[place] or 0):
                wrong.append(f"{title}: the rows have {number}, their sum says {last[place]}")
    return wrong


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(text.replace(made(text), tables([*specimens()])), encoding="utf-8")
