"""All trials there are, in the order in which they are made."""

from __future__ import annotations

from tests.torture.api import api
from tests.torture.bad_disks import bad_disks
from tests.torture.bad_networks import bad_networks
from tests.torture.clock_jumps import clock_jumps
from tests.torture.deaths import kills
from tests.torture.fuzz import fuzz
from tests.torture.inboxes import inboxes
from tests.torture.lifecycle import lifecycle
from tests.torture.many_hosts import many_hosts
from tests.torture.power_cut import power_cut
from tests.torture.receiver_attacks import receiver
from tests.torture.restarts import restarts
from tests.torture.simulations import simulations
from tests.torture.soak import soak
from tests.torture.ssrf import ssrf
from tests.torture.strangers import access, exports, page, supply_chain
from tests.torture.trial import Trial

TRIALS: dict[str, Trial] = {
    "kills": kills,
    "restarts": restarts,
    "inboxes": inboxes,
    "hosts": many_hosts,
    "soak": soak,
    "power_cut": power_cut,
    "bad_disks": bad_disks,
    "bad_networks": bad_networks,
    "clock_jumps": clock_jumps,
    "simulations": simulations,
    "ssrf": ssrf,
    "receiver": receiver,
    "fuzz": fuzz,
    "lifecycle": lifecycle,
    "api": api,
    "page": page,
    "exports": exports,
    "access": access,
    "supply_chain": supply_chain,
}
