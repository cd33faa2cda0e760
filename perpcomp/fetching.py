"""Logs from the chain: what a fetch would ask of a node, a fetch, and a search for a protocol's contracts. The network code loads when asked."""

from pathlib import Path
from typing import TYPE_CHECKING

from perpcomp import progress

if TYPE_CHECKING:
    from perpcomp.engine import Engine
    from perpcomp.ingest.node.everywhere import Found
    from perpcomp.ingest.node.held import Fetched


def plan_fetch(
    query: str, blocks: "tuple[int, int] | None" = None, store: Path | None = None, second: str | None = None, prove: str | None = None
) -> list[str]:
    """What a fetch of this incident's logs would ask of a node, in words; nothing is sent or written."""
    from perpcomp.incident import incident_file
    from perpcomp.ingest.node import held
    from perpcomp.ingest.node.plan import plan

    loaded = incident_file.load(query)
    return plan(loaded, held.Options(store or held.default_store(loaded), blocks, second, prove))


@progress.work()
def search(
    urls: "list[str]",
    folder: Path,
    *,
    system: str | None = None,
    chain_id: int | None = None,
    blocks: "tuple[int, int] | None" = None,
) -> "Found":
    """The logs of a protocol (default: of every one) by any contract, of `blocks` or the newest; `.file` of the result is an input of draft."""
    from perpcomp import installed
    from perpcomp.ingest.node.everywhere import fetch_everywhere
    from perpcomp.systems.system import find

    systems = [system] if system else installed.names(installed.SYSTEMS)
    topics = sorted(set().union(*(find(one).topics for one in systems)))
    return fetch_everywhere(topics, urls, chain_id, blocks, folder)


@progress.work()
def fetch(
    query: str,
    urls: "list[str]",
    *,
    blocks: "tuple[int, int] | None" = None,
    store: Path | None = None,
    second: str | None = None,
    prove: str | None = None,
    engine: "Engine | None" = None,
) -> "Fetched":
    """The incident's logs from the chain into a store; `.file` of the result is an input for compute. Fetches what is missing only.

    `engine`: perpcomp.engine; the workers of a cluster must see the store's folder under the same path, and reach the nodes.
    """
    from perpcomp.engine import LOCAL
    from perpcomp.incident import incident_file
    from perpcomp.ingest.node import held, pull
    from perpcomp.systems.system import find

    loaded = incident_file.load(query)
    options = held.Options(store or held.default_store(loaded), blocks, second, prove)
    return pull.fetch(loaded, sorted(find(loaded.system).topics), urls, options, engine or LOCAL)
