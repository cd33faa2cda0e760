"""Follow the money: claims, with its commands table and schedule."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import FOLLOW, app, command, with_default
from perpcomp.cli.options import AsJson, Form, FormulaName, Input, Query, block_or_time
from perpcomp.cli.source import PublishedRun, tables
from perpcomp.findings import Finding, refusal

if TYPE_CHECKING:
    from perpcomp.run import RunTables

claims = typer.Typer(cls=with_default("table"), rich_markup_mode=None)
app.add_typer(
    claims,
    name="claims",
    rich_help_panel=FOLLOW,
    help="When each payout unlocks; the schedule of any amount; claim files made and checked.",
)


@command(FOLLOW, claims)
def table(
    *,
    context: typer.Context,
    query: Query = "rehearsal",
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="BLOCK|TIME", help="What is unlocked then, by trader and in all; a block where the vesting counts blocks."
        ),
    ] = None,
    input: Input = None,
    formula: FormulaName = None,
    run: PublishedRun = None,
    form: Form,
) -> Sequence[Finding]:
    """When each payout unlocks; with --at, what is unlocked at a time.

    `perpcomp claims QUERY` is short for `perpcomp claims table QUERY`. Also: `perpcomp claims schedule`, for any amount; `claims tree` and
    `claims verify`, for lists and files of anybody; and of a published run `claims terms` and `claims signatures`, what claimants sign,
    `claims ready`, before anybody pays, and `claims follow`, who claimed.
    """
    from perpcomp.tables.payouts import CLAIMS
    from perpcomp.vesting.vest import to_read
    from perpcomp.vesting.words import claims_end, in_words

    moment = block_or_time(at)
    done = tables(context, run, query, input, formula, alone=True)
    vesting = done.incident.vesting
    words = in_words(vesting)  # before anything is printed: a date may lie beyond the calendar
    if moment is not None:
        print_unlocked(done, moment, form)
    else:
        block = ("unlocks_at_block",) if vesting.estimated else ()
        columns = ("trader", "token", "tranche", "amount", "unlocks_at", *block, "cumulative")
        shown = done.claims
        if form.to_read:
            owed = done.payouts.select("trader", "token", "entitlement")
            shown = to_read(shown, vesting).join(owed, on=["trader", "token"], how="left", maintain_order="left")
        totals = terminal.totals_by_token(done.claims, ("amount",))
        terminal.print_table(shown, CLAIMS, columns, form, done.incident, largest="entitlement", totals=totals)
    terminal.say(words)
    claims_of = done.incident.claims
    if claims_of is not None:
        over = isinstance(moment, datetime) and moment >= claims_of.until
        terminal.say(f"Claims {'ended' if over else 'end'} at {claims_end(claims_of)}")
    return done.problems


def print_unlocked(run: "RunTables", at: int | datetime, form: Form) -> None:
    """What is unlocked at a moment: a row a payout, and a row a token with the sums."""
    import perpcomp
    from perpcomp.number_text import exact
    from perpcomp.tables.payouts import UNLOCKED
    from perpcomp.totals import total_of
    from perpcomp.vesting.words import at_in_words

    found, vesting = perpcomp.unlocked(run, at), run.incident.vesting
    names = ("unlocked", "locked", *(("transferable",) if vesting.lock_weeks else ()))
    sums = {leg.token: {name: total_of(found, name, leg.token) for name in names} for leg in run.incident.settlement}
    if form.as_json:
        totals = [{"token": token, **{name: exact(units) for name, units in one.items()}} for token, one in sums.items()]
        terminal.print_json({"unlocked": terminal.plain_rows(found), "totals": totals})
    else:
        in_all = terminal.totals_by_token(found, names)
        terminal.print_table(found, UNLOCKED, ("trader", "token", *names), form, run.incident, largest="unlocked", totals=in_all)
    terminal.say(f"Unlocked at {at_in_words(vesting, at)}.")


@dataclass(frozen=True)
class Terms:
    """The keys of [vesting] as options. Each value is as the incident file writes it; what is wrong is said as of the file."""

    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="When the first part unlocks, as 2021-03-01T00:00:00Z.")] = (
        None
    )
    preset: Annotated[str | None, typer.Option("--preset", metavar="NAME", help="perp-3m, drip-6m, drip-12m or instant.")] = None
    upfront: Annotated[
        str | None, typer.Option("--upfront", metavar="SHARE", help="The share that unlocks at the start, as 0.5 or 1/3.")
    ] = None
    calendar: Annotated[str | None, typer.Option("--calendar", metavar="UNIT", help="calendar-months, fixed-days, seconds or blocks.")] = (
        None
    )
    length: Annotated[str | None, typer.Option("--length", metavar="N", help="How many of them until all is unlocked.")] = None
    tranches: Annotated[str | None, typer.Option("--tranches", metavar="N", help="In how many equal parts the rest unlocks.")] = None
    binding: Annotated[str | None, typer.Option("--binding", metavar="WORD", help="tranches (the default) or line.")] = None
    rounding: Annotated[
        str | None, typer.Option("--rounding", metavar="NAME", help="Open Cap Format's name; default CUMULATIVE_ROUND_DOWN.")
    ] = None
    granularity: Annotated[
        str | None, typer.Option("--granularity", metavar="N", help="The line moves once in so many seconds or blocks.")
    ] = None
    cliff: Annotated[str | None, typer.Option("--cliff", metavar="N", help="How long nothing but the upfront part unlocks.")] = None
    cliff_reading: Annotated[
        str | None, typer.Option("--cliff-reading", metavar="WORD", help="accrues, rest-from-cliff or length-from-cliff.")
    ] = None
    lock_weeks: Annotated[
        str | None, typer.Option("--lock-weeks", metavar="N", help="Claims go into a lock of at least so many weeks.")
    ] = None
    start_block: Annotated[str | None, typer.Option("--start-block", metavar="BLOCK", help="The block of the start.")] = None
    block_seconds: Annotated[str | None, typer.Option("--block-seconds", metavar="SECONDS", help="How long a block takes.")] = None

    @property
    def table(self) -> dict[str, Any]:
        """The table [vesting] of the options given."""
        from perpcomp.incident.toml import value

        return {one.name: value(text) for one in fields(self) if (text := getattr(self, one.name)) is not None}


@command(FOLLOW, claims)
def schedule(
    *,
    amount: Annotated[str, typer.Option("--amount", metavar="AMOUNT", help="How much is paid, in tokens.")],
    terms: Terms,
    decimals: Annotated[int, typer.Option("--decimals", metavar="N", help="How many decimals the token has.", min=1, max=18)] = 18,
    at: Annotated[str | None, typer.Option("--at", metavar="BLOCK|TIME", help="What is unlocked then, instead of the table.")] = None,
    as_json: AsJson = False,
) -> Sequence[Finding]:
    """The schedule of any amount, to check another one against: dates, tranches, and the sum unlocked by each.

    The options are the keys of [vesting] in an incident file: a preset, or upfront, calendar, length and tranches.
    """
    from perpcomp.incident.vesting import read_alone
    from perpcomp.number_text import cut, exact
    from perpcomp.tables.payouts import SCHEDULE
    from perpcomp.vesting import checks, vest
    from perpcomp.vesting.words import at_in_words, in_words

    vesting = read_alone(terms.table, "the options", option_of, lambda key: f"{option_of(key.name)} {key.example}")
    moment, total, scale = block_or_time(at), base_units(amount, decimals), 10 ** (18 - decimals)
    words = in_words(vesting)
    if moment is None:
        columns = ("tranche", "unlocks_at", *(("unlocks_at_block",) if vesting.estimated else ()), "amount", "cumulative")
        rows = vest.schedule_of(total, decimals, vesting)
        terminal.print_table(
            rows if as_json else vest.to_read(rows, vesting), SCHEDULE, (*columns, "amount_base_units"), Form(as_json), None
        )
    else:
        now = vest.unlocked_of(total, vesting, moment)
        parts = {"unlocked": now, "locked": total - now}
        if as_json:
            amounts = {name: exact(units * scale) for name, units in parts.items()}
            terminal.print_json({**amounts, **{f"{name}_base_units": str(units) for name, units in parts.items()}})
        else:
            rows_of = [[name, cut(units * scale, 6), str(units)] for name, units in parts.items()]
            terminal.print_grid(["", "amount (token)", "amount (base units)"], rows_of, right=(1, 2))
        terminal.say(f"Unlocked at {at_in_words(vesting, moment)}.")
    terminal.say(f"{exact(total * scale)} of a token with {decimals} decimals: {words}")
    return [*checks.too_small({"": total}, vesting, "--amount"), *checks.in_the_past(vesting, datetime.now(UTC), "--start")]


def option_of(key: str) -> str:
    """The option of a key of [vesting]."""
    return f"--{key.replace('_', '-')}"


def base_units(amount: str, decimals: int) -> int:
    """The base units of an amount of --amount. InputError where it is no amount, or has more decimals than its token."""
    from decimal import Decimal

    from perpcomp.fixed import to_integer
    from perpcomp.incident import kinds, toml

    try:
        number: Decimal = kinds.amount(toml.value(amount))
    except ValueError as error:
        raise refusal("--amount", f"It {error.args[0]}", error.args[1]) from None
    units: int
    units, rest = divmod(to_integer(number), 10 ** (18 - decimals))
    if rest:
        what = f"{amount} has more than the {decimals} decimals of the token, so it cannot be paid."
        raise refusal("--amount", what, "Round it down, or correct --decimals.")
    return units
