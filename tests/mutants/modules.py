"""Which modules of the money path are mutated, and the few fast tests that look at each, those of the module itself first."""

from pathlib import Path

PACKAGE = Path("perpcomp")

# module, or every module of a folder -> what pytest is given
TESTS: dict[str, tuple[str, ...]] = {
    "fixed.py": ("test_fixed.py",),
    "arithmetic.py": ("test_arithmetic.py",),
    "curve.py": ("test_curve.py", "test_restore.py"),
    "formula.py": ("test_formula.py", "test_entitlement.py"),
    "formulas/": ("test_formulas.py", "test_formula.py"),
    "entitlement.py": ("test_entitlement.py", "test_payouts.py", "test_payees.py"),
    "eligibility/": ("test_eligibility.py", "test_entitlement.py"),
    "eligibility/left_out.py": ("test_eligibility.py", "test_synthetix_v2_recorded.py", "test_synthetix_v2.py"),
    "eligibility/rules.py": (
        "test_eligibility.py",
        "test_guards_verdicts.py::test_only_liquidations_with_the_chosen_verdicts_are_compensated",
    ),
    "window.py": ("test_against_input.py", "test_eligibility.py"),
    "valuation.py": ("test_valuation.py", "test_eligibility.py"),
    "price_file.py": ("test_valuation.py",),
    "restore.py": ("test_restore.py",),
    "payouts.py": ("test_payouts.py", "test_rule_file.py", "test_payees.py"),
    "payees.py": ("test_payees.py", "test_payouts.py"),
    "adjust.py": ("test_adjust.py",),
    "totals.py": ("test_totals.py",),
    "vesting/stream.py": ("test_stream.py",),
    "vesting/": ("test_vesting.py", "test_payouts.py"),
    "vesting/schedule.py": (
        "test_vesting.py",
        "test_payouts.py",
        "test_claims_schedule.py::test_a_lock_beyond_the_calendar_is_refused_before_anything_is_printed",
    ),
    "rules/sentence.py": ("test_rules.py", "test_rule_file.py"),
    "rules/": ("test_rules.py", "test_rule_file.py", "test_precedents.py"),
    "claims/merkle.py": ("test_claims.py",),
    "claims/trees/": ("test_claims.py", "test_claims_payments.py", "test_claims_verify.py"),
    "systems/perpetual_v1/lives.py": ("test_lives.py", "test_perpetual_v1.py", "test_eligibility.py", "test_valuation.py"),
    "systems/perpetual_v1/eras.py": ("test_perpetual_v1.py",),
    "systems/perpetual_v1/era_tests.py": ("test_perpetual_v1.py",),
    "systems/perpetual_v1/liquidations.py": ("test_perpetual_v1.py", "test_lives.py", "test_continuity.py"),
    "systems/perpetual_v1/events.py": ("test_perpetual_v1.py", "test_decode.py", "test_capacity.py"),
    "systems/perpetual_v1/index_drawdown.py": ("test_eligibility.py",),
    "systems/synthetix_v2/lives.py": ("test_synthetix_v2.py", "test_synthetix_v2_recorded.py"),
    "systems/synthetix_v2/liquidations.py": ("test_synthetix_v2.py", "test_synthetix_v2_recorded.py"),
    "systems/synthetix_v2/flags.py": ("test_synthetix_v2.py", "test_synthetix_v2_recorded.py"),
    "systems/synthetix_v2/timeline.py": ("test_synthetix_v2.py", "test_synthetix_v2_recorded.py"),
    "ingest/decode.py": ("test_decode.py",),
    "decide/budget.py": ("test_budget.py",),
    "decide/capacity.py": (
        "test_capacity.py",
        "test_units.py::test_the_fund_counts_in_the_quote_asset_and_covers_at_its_price",
    ),
}

# Tests of these files that take seconds, since they publish, sign or replay whole runs: others of the file look at the same numbers.
SLOW = (
    "test_adjust.py::test_a_change_in_the_window_undoes_the_freeze_and_one_after_it_is_refused",
    "test_adjust.py::test_a_freeze_is_signed_by_its_author_or_not_said_to_be",
    "test_adjust.py::test_a_published_ledger_is_only_appended_to",
    "test_adjust.py::test_a_run_is_frozen_by_its_folder_and_takes_nothing_after_the_window",
    "test_adjust.py::test_a_run_that_was_changed_since_cannot_be_frozen",
    "test_adjust.py::test_everything_that_shows_a_payout_says_that_it_was_adjusted",
    "test_adjust.py::test_lines_are_appended_after_a_whole_run_and_say_what_they_move",
    "test_arithmetic.py::test_both_engines_agree_in_every_row[nested products]",
    "test_arithmetic.py::test_both_engines_agree_in_every_row[quotient of products]",
    "test_capacity.py::test_logs_that_begin_after_the_first_trades_are_noticed_by_positions_without_an_opening[large]",
    "test_capacity.py::test_the_balance_is_the_sum_of_the_raw_transfers[large-15578]",
    "test_claims_payments.py::test_a_run_writes_every_format_and_verify_makes_the_same_files",
    "test_continuity.py::test_the_recorded_chains_have_no_gap[large]",
    "test_payees.py::test_a_list_of_payees_is_a_published_input",
    "test_payees.py::test_a_node_of_the_chain_that_pays_tells_the_codes",
    "test_payees.py::test_exclusions_may_be_a_file_with_its_hash",
    "test_payees.py::test_summary_and_workbook_show_what_is_unpayable",
    "test_payouts.py::test_the_order_of_the_rows_does_not_matter",
    "test_replay.py::test_every_recorded_view_is_equal_to_the_wei[large-6300]",
    "test_replay.py::test_one_missing_log_is_noticed_and_never_turns_into_a_wrong_figure",
    "test_synthetix_v2.py::test_the_whole_command_and_its_verification",
    "test_valuation.py::test_a_run_by_a_series_is_published_with_it_and_verified",
    "test_valuation.py::test_at_the_reference_block_every_position_is_the_contracts_own_view[curve-large]",
    "test_valuation.py::test_at_the_reference_block_every_position_is_the_contracts_own_view[twap-large]",
)


def tests_of(root: Path) -> dict[str, list[str]]:
    """Each module, as a path from the repository's root, with what pytest is given for it; the most exact line of TESTS holds."""
    left_out = [f"--deselect=tests/{test}" for test in SLOW]
    found: dict[str, list[str]] = {}
    for name, tests in sorted(TESTS.items(), key=lambda one: len(one[0])):
        path = root / PACKAGE / name
        for module in sorted(path.glob("*.py")) if name.endswith("/") else [path]:
            if module.name != "__init__.py":
                found[module.relative_to(root).as_posix()] = [*(f"tests/{test}" for test in tests), *left_out]
    return dict(sorted(found.items()))
