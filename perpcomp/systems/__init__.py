"""Where liquidations come from: one room a protocol, each with the same verbs."""

from types import ModuleType

from perpcomp.systems.perpetual_v1 import events as v1_events
from perpcomp.systems.perpetual_v1 import liquidations as perpetual_v1
from perpcomp.systems.synthetix_v2 import events as v2_events
from perpcomp.systems.synthetix_v2 import liquidations as synthetix_v2

# An incident's `system` -> its room: `gaps`, `liquidations`, and in `events` topics, OLD_LAYOUTS, wanted, decode_all, events_table, recheck.
SYSTEMS: dict[str, ModuleType] = {v1_events.SYSTEM: perpetual_v1, v2_events.SYSTEM: synthetix_v2}
