"""A provider to practise with: Doitong's documented API, its CDN and its bad days, on your machine.

A test signature proves little: what an archive must survive is a provider that delivers twice, out
of order, late or never, whose links die and whose pictures arrive in halves. `Simulator` is such a
provider. It takes the requests that Doitong documents, draws a picture from the prompt, calls the
webhook with a signed body and serves the picture behind a link that expires. One request header,
`X-Simulate: twice,dead_link`, asks for faults from the table `FAULTS`; the client stays otherwise
unchanged. Afterwards `report` says what truly happened, so that a test can prove one download of
each picture, byte for byte:

    async with Simulator(secret=b"whsec") as simulator:
        ...  # POST to simulator.base_url + "/graphql", Authorization: Bearer practice
        await simulator.idle()
        print(simulator.report())

It imports nothing of holdfast and signs with its own code, so that agreement between the two means
something. It calls whatever webhookUrl it is given, so keep it on loopback. A request comes in at
`api`, is read by `graphql` and `forms`, lives in `studio`, and leaves through `webhooks` and `cdn`.
"""

from receiver.simulator.app import Simulator
from receiver.simulator.faults import FAULTS

__all__ = ["FAULTS", "Simulator"]
