"""Claim trees as a route of payment: one tree a tranche, or one over all, with the transactions that fund and open it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from perpcomp.claims.dialect import Leaf, Tree
from perpcomp.claims.made import Made, Step, file_name
from perpcomp.claims.payee_list import Row
from perpcomp.claims.plan import Plan, Tranche
from perpcomp.claims.steps import approve, fund, when
from perpcomp.claims.trees.cumulative import CUMULATIVE
from perpcomp.claims.trees.multi_token import MULTI_TOKEN
from perpcomp.claims.trees.oz_standard import OZ_STANDARD
from perpcomp.claims.trees.perp_redeem import PERP_REDEEM
from perpcomp.claims.trees.uniswap import UNISWAP
from perpcomp.findings import refusal

SEED = "seedAllocations(uint256 week,bytes32 merkleRoot,uint256 totalAllocation)"
SET_ROOT = "setRoot(bytes32 newRoot,bytes32 newIpfsHash)"
UPDATE_ROOT = "updateMerkleRoot(bytes32 newMerkleRoot)"


def as_file(tree: Tree) -> bytes:
    """The file of a tree."""
    return msgspec.json.format(msgspec.json.encode(tree.document), indent=1) + b"\n"


def _single(rows: Sequence[Row]) -> list[Row]:
    """Rows of one token, for a dialect whose leaf names none."""
    return [row._replace(token="") for row in rows]


def perp_redeem(plan: Plan) -> Made:
    """A root a tranche and token, each seeded at its date. InputError where two tranches have the same root: both would pay twice."""
    made, contract, used = Made(), plan.files.contracts.perp_redeem, dict[str, str]()
    if contract and len(plan.tokens) > 1:
        where = f"{plan.name}.toml"
        raise refusal(where, "[claims.contracts] perp-redeem is one contract, which pays one token.", "Remove it, or settle in one token.")
    for token in plan.tokens:
        for tranche in plan.tranches:
            if not (rows := plan.of(token, tranche.rows)):
                continue
            tree, week = PERP_REDEEM.tree(_single(rows), "the payees"), plan.files.first_week + tranche.number
            file = file_name(token, plan, tranche, end=".json")
            if (before := used.setdefault(tree.root, file)) != file:
                what = (
                    f"{file} has the root of {before}: whoever has a proof of one could claim both with it, and others could not be paid."
                )
                raise refusal("perp-redeem", what, 'Use formats = ["cumulative"], whose leaves hold the total so far, or other tranches.')
            made.add(file, as_file(tree), token, tranche.number, rows)
            total, moment = sum(row.amount for row in rows), when(tranche.unlocks_at)
            made.steps.append(approve(token, contract, total, moment))
            arguments = (week, tree.nodes.root, total) if contract else ()
            what = f"Seed week {week} with the root {tree.root} of {file}, total {total}."
            made.steps.append(Step(what, moment, contract, SEED if contract else "", arguments))
    if contract is None:
        made.steps.insert(
            0, Step("Deploy a reward contract with a vesting period of 0, one a token, and initialize it with the token.", "first")
        )
    made.notes.append(
        "The contract takes the total and never compares it with the tree. A week cannot be seeded again, and a leaf names no week."
    )
    return made


def uniswap(plan: Plan) -> Made:
    """A tree and a contract of its own a tranche and token."""
    made = _one_contract_each(plan, UNISWAP.name, lambda rows: UNISWAP.tree(rows, "the payees"), plan.files.contracts.uniswap)
    made.notes.append("The contract has no owner and no end: what nobody claims stays in it for ever.")
    return made


def oz_standard(plan: Plan) -> Made:
    """A tree and a claim contract of its own a tranche and token."""
    return _one_contract_each(plan, OZ_STANDARD.name, lambda rows: OZ_STANDARD.tree(rows, "the payees"), plan.files.contracts.oz_standard)


def _one_contract_each(plan: Plan, name: str, build: Any, first: str | None) -> Made:
    made, known = Made(), first
    for token in plan.tokens:
        for tranche in plan.tranches:
            if not (rows := plan.of(token, tranche.rows)):
                continue
            tree: Tree = build(_single(rows))
            file = file_name(token, plan, tranche, end=".json")
            made.add(file, as_file(tree), token, tranche.number, rows)
            moment = when(tranche.unlocks_at)
            if known is None:
                words = f"Deploy a claim contract of {name} for {token.symbol} ({token.address}) with the root {tree.root} of {file}."
                made.steps.append(Step(words, moment))
            made.steps.append(fund(token, known, sum(row.amount for row in rows), moment))
            known = None  # the contract that [claims.contracts] states is that of the first tranche
    return made


def cumulative(plan: Plan) -> Made:
    """One tree a date over all tokens, of what has unlocked by then; each root replaces the one before."""
    made, contract = Made(), plan.files.contracts.cumulative
    if contract is None:
        made.steps.append(
            Step("Deploy a universal rewards distributor whose owner is the payer, with the root 0 and the timelock 0.", "first")
        )
    for tranche in plan.tranches:
        if not tranche.rows:
            continue
        tree, file = CUMULATIVE.tree(tranche.so_far, "the tranches"), f"tranche-{tranche.number}.json"
        _pays(made, plan, tranche, file, as_file(tree), contract)
        arguments = (tree.nodes.root, bytes(32)) if contract else ()
        what = f"Set the root {tree.root} of {file}."
        made.steps.append(Step(what, when(tranche.unlocks_at), contract, SET_ROOT if contract else "", arguments))
    made.notes.append(
        "A leaf holds the total so far, and a claim pays what is new of it. The amounts in this table are what each date adds; "
        "a file's claims add up to the running total."
    )
    return made


def multi_token(plan: Plan) -> Made:
    """One tree a date over all tokens: the leaves of every tranche until then, each with an index that is used once."""
    made, contract = Made(), plan.files.contracts.multi_token
    if contract is None:
        made.steps.append(Step("Deploy a redemption contract whose owner is the payer.", "first"))
    leaves: list[Leaf] = []
    for tranche in plan.tranches:
        if not tranche.rows:
            continue
        new = sorted(MULTI_TOKEN.tree(tranche.rows, "the tranches").leaves)
        # An index that is claimed is claimed under every later root, too.
        leaves += [leaf._replace(number=len(leaves) + leaf.number) for leaf in new]
        tree, file = MULTI_TOKEN.tree_of(sorted(leaves, key=MULTI_TOKEN.preimage)), f"tranche-{tranche.number}.json"
        _pays(made, plan, tranche, file, as_file(tree), contract)
        what = f"Set the root {tree.root} of {file}."
        made.steps.append(
            Step(what, when(tranche.unlocks_at), contract, UPDATE_ROOT if contract else "", (tree.nodes.root,) if contract else ())
        )
    made.notes.append(
        "Each root holds the leaves of all tranches so far, so an account has one leaf a tranche. The amounts are what each date adds."
    )
    return made


def _pays(made: Made, plan: Plan, tranche: Tranche, file: str, data: bytes, contract: str | None) -> None:
    """A file over all tokens, with the funding of what it adds."""
    for token in plan.tokens:
        if rows := plan.of(token, tranche.rows):
            made.add(file, data, token, tranche.number, rows)
            made.steps.append(fund(token, contract, sum(row.amount for row in rows), when(tranche.unlocks_at)))
