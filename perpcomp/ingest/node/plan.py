"""The plan of a fetch, for --dry-run: how many requests, for which blocks, contracts and columns."""

from perpcomp.incident.incident import Incident
from perpcomp.ingest.node.held import Options
from perpcomp.ingest.node.refusals import width
from perpcomp.ingest.node.segments import HEADERS_AT_ONCE, grid
from perpcomp.tables.schema import CSV_TIME


def plan(incident: Incident, options: Options) -> list[str]:
    """What a fetch would ask, one sentence a line. Nothing is sent."""
    settings = options.settings
    lines = []
    if options.blocks is None:
        rules = incident.eligibility
        first = incident.chain.first_block or rules.from_block
        if rules.to_block is not None:
            lines.append(f"Range: blocks {first:,} to {rules.to_block:,}.")
        else:
            where = f"block {first:,}" if first else f"the block at {rules.start.strftime(CSV_TIME)}"
            lines.append(
                f"Range: from {where} to the last block before {rules.end.strftime(CSV_TIME)}, found by at most 64 requests for headers."
            )
        lines.append(
            f"Then one eth_getLogs for every {settings.window:,} blocks, fewer where a node limits the range, three headers for every"
            f" {settings.segment:,} blocks, and one batch of headers for every {HEADERS_AT_ONCE} blocks that hold logs."
        )
    else:
        blocks, segments = width(options.blocks), len(grid(options.blocks, settings.segment))
        windows = sum(-(-width(part) // settings.window) for part in grid(options.blocks, settings.segment))
        lines.append(f"Range: blocks {options.blocks[0]:,} to {options.blocks[1]:,}, {blocks:,} in all.")
        lines.append(
            f"{windows:,} eth_getLogs, {3 * segments:,} headers, and one batch of headers for every {HEADERS_AT_ONCE} blocks that hold logs."
        )
    if options.prove is not None:
        covered = "range" if options.prove == "all" else "range, from the start of the window on"
        lines.append(f"For the proof: the header of every block of the {covered}, and the receipts of each that may hold one of the logs.")
    if options.second is not None:
        lines.append("The same logs and headers of the second node, to compare.")
    lines.append(f"Contracts: {', '.join(sorted({*incident.chain.contracts, *(m.amm for m in incident.markets)}))}.")
    lines.append("Columns: block_number, block_time, block_hash, transaction_hash, transaction_index, log_index, address, topics, data.")
    lines.append(f"Kept in: {options.store}. Nothing was sent.")
    return lines
