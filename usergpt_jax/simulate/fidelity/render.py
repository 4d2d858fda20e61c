"""How a report is told: the table on stdout, the records of fidelity.json, the page."""

import dataclasses
import math
from typing import Any

from usergpt_jax import schema
from usergpt_jax.simulate.fidelity import compare, decisions, page, plots, probe, statistics
from usergpt_jax.simulate.fidelity.log import Log
from usergpt_jax.simulate.fidelity.measure import Report
from usergpt_jax.simulate.fidelity.targets import Finding, Measure


def print_table(report: Report) -> None:
    """The table on stdout: statistic, target, tolerance, measured, verdict; then probe and comparison."""
    width = max(len(finding.target.name) for finding in report.findings)
    group = ""
    for target, got, verdict in report.findings:
        if target.group != group:
            group = target.group
            print(f"\n{group:{width}} {'target':>10} {'tolerance':>10} {'measured':>10}")
        print(
            f"{target.name:{width}} {number(target.target):>10} {number(target.tolerance):>10} "
            f"{number(got.value):>10} {verdict}"
        )
    judged = [finding.verdict for finding in report.findings if finding.verdict != "-"]
    print(f"\n{judged.count('ok')} of {len(judged)} statistics with a target are within tolerance")
    if report.probes:
        print(f"\n{'linear probe':{width}} {'majority':>10} {'users':>10} {'accuracy':>10}")
        for one in report.probes:
            figures = f"{number(one.majority):>10} {one.n_users:>10} {number(one.accuracy):>10}"
            print(f"{one.tag:{width}} {figures} {one.verdict}")
    if report.comparisons:
        print(f"\n{'against the real log':{width}} {'':>10} {'real-real':>10} {'simulated':>10}")
        for one in report.comparisons:
            print(f"{one.name:{width}} {'':>10} {number(one.floor):>10} {number(one.value):>10}")
        for k, words in enumerate(("first guess", "first five guesses")):
            real, simulated = (number(report.hits[name][k]) for name in ("real", "simulated"))
            print(f"{'next category, ' + words:{width}} {'':>10} {real:>10} {simulated:>10}")


def number(value: float) -> str:
    """A figure in at most four digits; "-" for NaN."""
    if math.isnan(value):
        return "-"
    return (
        f"{value:,.0f}"
        if abs(value) >= 1000
        else f"{value:.4g}"
        if abs(value) >= 0.001 or not value
        else f"{value:.1e}"
    )


def as_records(report: Report) -> list[dict[str, Any]]:
    """One JSON-ready record a statistic; NaN is null."""
    records: list[dict[str, Any]] = []
    for target, got, verdict in report.findings:
        records.append(
            {
                "kind": "statistic",
                **dataclasses.asdict(target),
                "measured": got.value,
                "standard_error": got.error,
                "beside": report.beside.get(target.name, Measure(math.nan)).value,
                "verdict": verdict,
            }
        )
    records += [{"kind": "probe", **one._asdict()} for one in report.probes]
    records += [{"kind": "real", **one._asdict()} for one in report.comparisons]
    records += [{"kind": "next_category", "log": name, "hits": list(hits)} for name, hits in report.hits.items()]
    return [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()}
        for record in records
    ]


def page_of(report: Report, name: str, real: str, locale: str) -> str:
    """The page."""
    events = report.events
    judged = [finding.verdict for finding in report.findings if finding.verdict != "-"]
    lead = (
        f"{len(events.second):,} events of {events.n_users:,} users in {len(report.days.features):,} days, locale "
        f"{locale}. {judged.count('ok')} of {len(judged)} statistics with a target are within tolerance; a measure is "
        "allowed two standard errors beyond it, so that a run of few users does not fail by chance."
    )
    sections = []
    if report.people is not None:
        sections.append(
            page.section(
                "People",
                "Platform users are not the population. Measured counts each user with the inverse of the published "
                "platform weight and is compared with the census; on platform is what the log's own users are like.",
                page.panels(plots.people(report.findings)),
                *_group_tables(report, people=True),
            )
        )
    sections += [
        page.section(
            "Behaviour",
            "What the events show.",
            page.panels(plots.rhythms(events, report.days, plots.trip_days_of(report.people)) + plots.tails(events)),
            *_group_tables(report, people=False),
        ),
        page.section(
            "Decisions", "What follows what within a session, in percent of a row.", *_matrices(events, locale)
        ),
    ]
    if report.probes:
        sections.append(_probe_section(report.probes))
    if report.real is not None:
        sections.append(_real_section(report, real))
    return page.document(f"Fidelity of {name}", lead, sections)


def _group_tables(report: Report, people: bool) -> list[str]:
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.target.group.startswith("People") == people:
            groups.setdefault(finding.target.group, []).append(finding)
    head = ["statistic", "target", "tolerance", "measured", "standard error"]
    head += ["on platform" if people else "real log", "", "source and definition"]
    tables = []
    for group, findings in groups.items():
        rows = [
            (
                target.name,
                number(target.target),
                number(target.tolerance),
                number(got.value),
                number(got.error),
                number(report.beside.get(target.name, Measure(math.nan)).value),
                verdict,
                "; ".join(text for text in (target.source, target.note) if text),
            )
            for target, got, verdict in findings
        ]
        tables.append(page.table(head, rows, caption=group, numeric=(1, 2, 3, 4, 5)))
    return tables


def _matrices(events: Log, locale: str) -> list[str]:
    tables = []
    states = decisions.state_transitions(events, locale)
    actions = decisions.action_transitions(events)
    for names, counts, caption in (
        (decisions.STATES, states, "States of the decision process: from row to column."),
        (schema.ACTIONS, actions, "Actions: from row to column."),
    ):
        if counts is None:
            continue
        shares = statistics.row_shares(counts)
        rows = [(name, *(f"{100 * value:.1f}" for value in row)) for name, row in zip(names, shares, strict=True)]
        tables.append(page.table(["", *names], rows, caption=caption, numeric=range(1, len(names) + 1)))
    return tables


def _probe_section(probes: list[probe.Probe]) -> str:
    rows = [
        (one.tag, number(one.accuracy), number(one.majority), str(one.n_users), str(one.n_values), one.verdict)
        for one in probes
    ]
    head = ["tag", "accuracy", "majority", "users", "values", ""]
    return page.section(
        "Leakage probe",
        "A linear model on bags of categories should neither solve a tag (above 0.98) nor sit at chance (within two "
        "standard errors of the majority). Place tags get counts of cities and provinces too; of interests the mean "
        "balanced accuracy is shown.",
        page.panels(plots.probes(probes)),
        page.table(head, rows, caption="Users held out from training.", numeric=(1, 2, 3, 4)),
    )


def _real_section(report: Report, real: str) -> str:
    assert report.real is not None
    simulated, other = compare.aligned(report.events, report.real)
    samples = (
        compare.sample_of(simulated, compare.things(simulated, other)),
        compare.sample_of(other, compare.things(other, simulated)),
    )
    rows = [(one.name, number(one.value), number(one.floor)) for one in report.comparisons]
    hits = [(name, *(number(value) for value in values)) for name, values in report.hits.items()]
    return page.section(
        f"Against the real log {real}",
        f"{len(other.second):,} events of {other.n_users:,} users; the simulated log is cut to the same sources, "
        "actions and number of days. The noise floor compares random halves of the real log's users.",
        page.panels(plots.against_real(*samples)),
        page.table(["measure", "simulated", "real against real"], rows, caption="", numeric=(1, 2)),
        page.table(["next category", "first guess", "first five"], hits, caption="Hits.", numeric=(1, 2)),
    )
