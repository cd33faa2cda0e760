"""Who is paid how much, who pays, and how the amounts are spread."""

from perpcomp.publish import facts
from perpcomp.publish.report.figures import Charts, figure
from perpcomp.publish.report.parts import Grid, Heading, Listing, Part, Section, Text
from perpcomp.publish.report.reasons import reasons
from perpcomp.run import Run


def section(run: Run, charts: Charts) -> Section:
    """The section."""
    header, rows = facts.largest(run)
    parts: list[Part] = [*reasons(facts.who_is_paid(run)), *figure(charts, "payout-distribution")]
    parts.append(Grid("The largest entitlements", header, rows, range(1, len(header)), last=True))
    parts += [Text(facts.ALL_ACCOUNTS), Heading("Who pays, and what it costs"), Listing(facts.to_pay(run))]
    funds = [[fund.name, fund.holds, fund.needs, fund.share] for fund in facts.funds(run)]
    if funds:
        parts.append(Grid("Sources of funds", ("source of funds", "holds", "the formula needs", "share of it"), funds, (1, 2, 3)))
    parts.append(Text(facts.WHO_PAYS if funds else facts.NO_FUNDS))
    return Section("paid", "Who is paid", parts)
