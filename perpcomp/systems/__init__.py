"""Where liquidations come from: one room a protocol, each with the same verbs."""

from types import ModuleType

from perpcomp.systems import perpetual_v1, synthetix_v2

# An incident's `system` -> its room: `gaps`, `liquidations`, and in `events` topics, OLD_LAYOUTS, wanted, decode_all, events_table, recheck.
SYSTEMS: dict[str, ModuleType] = {perpetual_v1.events.SYSTEM: perpetual_v1, synthetix_v2.events.SYSTEM: synthetix_v2}
