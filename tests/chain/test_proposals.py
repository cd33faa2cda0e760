"""Proposals as Snapshot takes and shows them, and as OpenZeppelin's Governor executes them on a local chain."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from eth_account.messages import encode_typed_data
from tiny_keccak import keccak256

import perpcomp
from perpcomp.findings import InputError
from perpcomp.publish.proposal import GOVERNOR, PAGE
from perpcomp.publish.proposal.limits import characters
from perpcomp.publish.proposal.text import shown
from perpcomp.publish.proposal.typed_data import Asked, typed_data
from perpcomp.run import Run
from tests import build
from tests.build import address, position
from tests.chain.anvil import chain
from tests.chain.blocks import Blocks
from tests.chain.javascript import HERE, ask
from tests.chain.node import NodeTools
from tests.chain.rpc import Contract
from tests.planned import AT_ONCE
from tests.signers import signers
from tests.test_proposal import HOSTILE, governed

WHO = next(iter(signers()))
ASKED = Asked("perp.eth", WHO, 1_614_600_000, 11_950_000)
TAGS = {*("h1", "h2", "p", "strong", "blockquote", "ol", "ul", "li", "code", "br"), *("table", "thead", "tbody", "tr", "th", "td")}


def snapshot(verb: str, **request: Any) -> Any:
    return ask(verb, script="proposals.js", **request)


def signed(data: dict[str, Any]) -> str:
    return "0x" + signers()[WHO].sign_message(encode_typed_data(full_message=data)).signature.hex().removeprefix("0x")


def test_snapshot_takes_what_is_signed_and_recovers_the_signer(node_tools: NodeTools, published_rehearsal: Path) -> None:
    """Its own types, schema, hash and client; and it counts as we do: a title of 256 characters is taken, one of 257 is not."""
    data = typed_data(perpcomp.published(published_rehearsal), ASKED)
    variants = [{}, {"title": "🦄" + "a" * 254, "body": "a🦄é" * 100}, {"title": "a" * 257}]
    sent = [{**data, "message": {**data["message"], **changes}} for changes in variants]
    first, longest, too_long = snapshot("take", all=[{"typedData": one, "signature": signed(one)} for one in sent])
    assert first["hash"].startswith("e037b37311c75c99")
    assert (first["kind"], first["valid"], first["signed"]) == ("proposal", True, True)
    assert first["digest"] == "0x" + keccak256(b"\x19" + b"".join(encode_typed_data(full_message=data))).hex()
    assert first["length"] == characters(data["message"]["body"])
    assert (longest["valid"], longest["length"]) == (True, characters("a🦄é" * 100))
    assert too_long["valid"] is not True
    envelope = snapshot("client", message=data["message"], key=signers()[WHO].key.hex())
    plain = {"domain": data["domain"], "types": {"Proposal": data["types"]["Proposal"]}, "message": data["message"]}
    assert envelope == {"address": data["message"]["from"], "sig": signed(data), "data": plain}


def test_every_name_that_we_take_is_one_that_snapshot_takes(node_tools: NodeTools) -> None:
    names = [
        "perp.eth",
        "a.b-c.eth",
        "🦄.eth",
        "_a.eth",
        "ß.eth",
        "a_b.eth",
        "ab--c.eth",
        "a b.eth",
        "perp.eth ",
        "x\u200b.eth",
        "A.eth",
        "a..eth",
    ]
    ours = []
    for name in names:
        try:
            Asked(name, WHO, ASKED.timestamp, ASKED.snapshot)
            ours.append(name)
        except InputError:
            continue
    assert ours == names[:5]
    assert all(snapshot("names", names=ours))


class Shown(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = set[str](), ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_foreign_text_is_shown_as_it_is_on_snapshots_page_and_is_nothing_else(node_tools: NodeTools) -> None:
    """No link, image, emphasis, list or heading, wherever it stands."""
    places = ("{}", "# {}", "> {}", "- {}", "1. {}", "**x.** {}", "x {}: y")
    asked = [(place, text) for place in places for text in HOSTILE]
    pages = snapshot("show", texts=[place.format(shown(text)) for place, text in asked])
    for (place, text), page in zip(asked, pages, strict=True):
        found = Shown(page)
        ours = {"#": {"h1"}, ">": {"blockquote"}, "-": {"ul", "li"}, "1": {"ol", "li"}, "*": {"strong"}}
        assert found.tags - {"code"} <= {"p"} | ours.get(place[0], set()), (place, text)
        assert text in found.text, (place, text)


def test_the_whole_page_has_our_markup_only(node_tools: NodeTools, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)> [x](https://evil.example) ![y](https://evil.example/i.png) | `x` *a* www.evil.example"
    changes = {"A made-up incident": hostile, "the treasury": hostile, 'price_policy = "fixed"': f'price_policy = "{hostile}"'}
    run = build.run(tmp_path, position(1, address(1), 1, 55_000, 9_000, 50_000), changes)
    perpcomp.publish_run(run, tmp_path / "o")
    (page,) = snapshot("show", texts=[(tmp_path / "o" / PAGE).read_text()])
    found = Shown(page)
    assert found.tags <= TAGS
    assert found.text.count(hostile) == 3
    assert "| ---" not in found.text, "the tables are tables"


def test_a_governor_executes_the_calls_and_pays_every_account(node_tools: NodeTools, tmp_path: Path) -> None:
    """OpenZeppelin's contracts: it gives the proposal our number, and a vote that passes sends exactly the payouts."""
    built = node_tools.modules / "@perp/contract/build/contracts"
    compiled = ask("compile", file="Governor.sol", source=(HERE / "Governor.sol").read_text())
    abi = {name: Contract(one) for name, one in compiled.items()} | {
        "ERC20Fake": Contract(json.loads((built / "ERC20Fake.json").read_text()))
    }
    with chain(node_tools.anvil, 1, 1_614_600_000, options=("--disable-code-size-limit",)) as url:
        blocks = Blocks(url, abi, 1_614_600_000)
        owner = blocks.accounts()[0]
        token = blocks.deploy(owner, "ERC20Fake")
        votes = blocks.deploy(owner, "Votes")
        treasury = blocks.deploy(owner, "Treasury", votes)
        run = governed(tmp_path, treasury, "payees", token, AT_ONCE)
        asked = made(run, tmp_path)
        described = (tmp_path / "o" / PAGE).read_bytes()
        blocks.send(owner, token, abi["ERC20Fake"].data("initializeERC20Fake", 10**24, "Perpetual", "PERP", 18), "supply")
        blocks.send(owner, token, abi["ERC20Fake"].data("transfer", treasury, int(asked["totals"]["PERP"]["base_units"])), "fund")
        blocks.step()
        calls = (asked["targets"], [int(one) for one in asked["values"]], [bytes.fromhex(one[2:]) for one in asked["calldatas"]])
        hashed = bytes.fromhex(asked["description_hash"][2:])
        (number,) = blocks.calls([("Treasury", treasury, "hashProposal", (*calls, hashed))])
        assert str(number) == asked["proposal_id"]
        blocks.send(owner, treasury, abi["Treasury"].data("propose", *calls, described.decode()), "propose", gas=11_000_000)
        blocks.step()
        blocks.step()
        blocks.send(owner, treasury, abi["Treasury"].data("castVote", number, 1), "vote")
        for _ in range(3):
            blocks.step()
        blocks.send(owner, treasury, abi["Treasury"].data("execute", *calls, hashed), "execute", gas=5_000_000)
        blocks.step()
        paid = {who: int(units) for who, units in run.payouts.select("trader", "amount_base_units").iter_rows()}
        assert len(paid) == len(asked["targets"]) == 5
        decoded = ask("decode", abi=["function transfer(address to, uint256 value)"], data=asked["calldatas"][0])
        assert (decoded["name"], decoded["args"][0].lower(), int(decoded["args"][1])) == ("transfer", *next(iter(paid.items())))
        assert {who: blocks.calls([("ERC20Fake", token, "balanceOf", (who,))])[0] for who in paid} == paid
        assert blocks.calls([("ERC20Fake", token, "balanceOf", (treasury,))]) == [0]


def made(run: Run, folder: Path) -> dict[str, Any]:
    """governor.json of a run that is published into a folder."""
    files = perpcomp.publish_run(run, folder / "o")
    document: dict[str, Any] = json.loads(files[GOVERNOR])
    return document
