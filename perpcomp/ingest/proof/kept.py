"""What a store keeps of a proof, and where: the inputs of a published run keep it in the same places. Nothing is checked or fetched here.

headers.bin holds the RLP of every header of the range, receipts/NUMBER.bin the receipts of each block whose Bloom filter may hold a
wanted log.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from perpcomp.findings import refusal

PROOF, HEADERS, RECEIPTS = "proof", "headers.bin", "receipts"
ANCHOR = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
OF_BLOCK = re.compile(r"([0-9]{1,18})\.bin", re.ASCII)
AGAIN = "Fetch the logs again with --rpc and --prove."


class Proved(Struct, frozen=True):
    """Blocks whose headers and receipts prove the logs of a store; `anchor` is the hash of the last one."""

    first: int
    last: int
    anchor: str


def proved_by(stated: Mapping[str, Any], where: str) -> Proved | None:
    """The blocks that a store's statement about its range says are proved; None without --prove. InputError where it is malformed."""
    try:
        for first, anchor in (stated.get("proved") or {}).values():
            if not ANCHOR.fullmatch(anchor):
                raise ValueError
            return Proved(int(first), int(stated["last"]), anchor.lower())
    except (AttributeError, KeyError, TypeError, ValueError):
        raise refusal(where, "The file does not say which blocks are proved, or by which hash.", AGAIN) from None
    return None


def folder_of(store: Path, asked: tuple[int, int]) -> Path:
    """The folder of a range's evidence in a store."""
    return store / PROOF / f"{asked[0]}-{asked[1]}"


def receipts_in(folder: Path) -> dict[int, Path]:
    """Block -> the file of its receipts. InputError for a file that is none; what an interrupted fetch left is passed over."""
    found = {}
    for path in sorted((folder / RECEIPTS).glob("[!.]*")):
        if (block := OF_BLOCK.fullmatch(path.name)) is None or not path.is_file():
            raise refusal(str(path), "The file is not named by a block as NUMBER.bin, so it holds no receipts.", AGAIN)
        found[int(block[1])] = path
    return found


def evidence_in(folder: Path) -> list[Path]:
    """The files of a proof. InputError where the headers are not there."""
    if not (headers := folder / HEADERS).is_file():
        what = "The logs were proved, but their headers are not there, so nobody could check the proof."
        raise refusal(str(headers), what, AGAIN)
    return [headers, *receipts_in(folder).values()]
