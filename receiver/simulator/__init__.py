"""Providers to practise with: Doitong, DashScope and ModelsLab, their CDNs and their bad days.

A test signature proves little: what an archive must survive is a provider that delivers twice, out
of order, late or never, whose links die and whose pictures arrive in halves. `Simulator` is several
such providers behind one port. It takes the requests that they document, draws a picture from the
prompt, tells whoever is to be told and serves the picture behind a link that dies. One request
header, `X-Simulate: twice,dead_link`, or the words `simulate:twice,dead_link` in a prompt ask for
faults from the table `FAULTS`; the client stays otherwise unchanged. Afterwards `report` says what
truly happened, so that a test can prove one download of each picture, byte for byte:

    async with Simulator(secret=b"whsec") as simulator:
        ...  # POST to simulator.base_url + "/graphql", Authorization: Bearer practice
        await simulator.idle()
        print(simulator.report())

It imports nothing of holdfast and signs with its own code, so that agreement between the two means
something. It calls whatever webhook it is given, so keep it on loopback. `app` puts providers on
`premises`. Of each, a request comes in at its `api`, is read by its forms, lives in its `studio`
and leaves through `deliveries` and `cdn`; Doitong's rooms stand here, the others' in their own.
"""

from receiver.simulator.app import Simulator
from receiver.simulator.faults import FAULTS, fault_table

__all__ = ["FAULTS", "Simulator", "fault_table"]
