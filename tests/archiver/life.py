"""Two generations in a real catalog, and all that may befall them, beside a model of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from archiver import lifecycle
from archiver.catalog import Tables
from archiver.catalog.orders import JobFilter
from archiver.desk import Verdict, leases
from archiver.errors import LeaseLostError
from archiver.keys import blob_key
from archiver.ledger import keep
from archiver.models import (
    Asset,
    Delivery,
    Failure,
    FailureClass,
    Generation,
    GenerationParams,
    GenerationState,
    Heard,
    Origin,
    Rendering,
)
from archiver.orders import ORDERS
from archiver.recovery.forget import _take_out as take_out
from archiver.recovery.forget_plan import Target
from archiver.tombstone import Tombstone, name_digest
from archiver.work import Job, JobKind, JobState
from receiver.absorb import Understood
from receiver.absorb import _apply as absorb
from tests.archiver.heard import (
    DRAWN,
    FAILURES,
    HEARINGS,
    PLAIN_URL,
    RENDERABLE,
    REQUEST,
    SIGNED_URL,
    Hearing,
    asset,
    failed,
    hearing,
)
from tests.archiver.life_model import REACH, TABLE, Model
from tests.clocks import NOON, FrozenClock
from tests.fuzz.shelf import undone

NAMES = ("abc", "abd")
LEASE_SECONDS = 30.0
DRAWABLE = GenerationParams(prompt="a fox")
USUAL = (
    REQUEST,
    hearing(url=PLAIN_URL),
    hearing(url=SIGNED_URL),
    failed(RENDERABLE, params=DRAWABLE),
)


class Life(RuleBasedStateMachine):
    """Observations, redeliveries, fetches, drawings, orders and forgetting, in any order."""

    examples = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self._undo = undone()
        self.tables: Tables = self._undo.__enter__()
        self.clock = FrozenClock(NOON)
        self.models = {name: Model() for name in NAMES}
        self.heard: list[Hearing] = []
        self.running: list[Job] = []
        self.drawing: list[Any] = []
        self.moves = REACH

    def teardown(self) -> None:
        """Leaves the catalog empty."""
        self._undo.__exit__(None, None, None)

    # What is heard.

    @rule(name=st.sampled_from(NAMES), hearing=HEARINGS)
    def hear_anything(self, name: str, hearing: Hearing) -> None:
        """Whatever a provider may say, at any time, however stale it is."""
        self.hear(name, hearing)

    def hear(self, name: str, hearing: Hearing) -> None:
        """It is taken in, and may be delivered again."""
        observation = replace(hearing.observation, generation_id=name)
        self.heard.append(hearing._replace(observation=observation))
        self._take_in(self.heard[-1])

    @rule(name=st.sampled_from(NAMES), hearing=st.sampled_from(USUAL))
    def hear_the_usual(self, name: str, hearing: Hearing) -> None:
        """What most generations come to."""
        self.hear(name, hearing)

    @precondition(lambda self: self.heard)
    @rule(data=st.data())
    def hear_again(self, data: st.DataObject) -> None:
        """A redelivery of anything changes nothing, whatever has happened since."""
        hearing = data.draw(st.sampled_from(self.heard))
        before = [self._load(name) for name in NAMES]
        self._take_in(hearing)
        assert [self._load(name) for name in NAMES] == before

    def _take_in(self, hearing: Hearing) -> None:
        observation = hearing.observation
        delivery = Delivery(
            ref=hearing.heard_in,
            source="doitong",
            heard=Heard.PUSHED,
            path_token="",
            received_at=hearing.received_at,
            peer="",
            verified_by="",
            headers=(),
            body=b"",
        )
        understood = [Understood(delivery=delivery, says=(observation,))]
        absorb(self.tables, understood, self.clock())
        self.models[observation.generation_id].heard(observation)

    # What our own work comes to.

    @rule(kind=st.sampled_from([JobKind.FETCH, JobKind.POLL, JobKind.SEAL, JobKind.RENDER]))
    def begin(self, kind: JobKind) -> None:
        """A worker claims the most urgent job of a kind; how it ends is another rule's."""
        self.tables.jobs.promote(now=self.clock())
        if kind is JobKind.RENDER:
            commission = leases.claim(self.tables, "a host", fresh=True, now=self.clock())
            self.drawing += [commission] if commission else []
            return
        self.running += self.tables.jobs.claim(
            kind, limit=1, worker="w", lease_seconds=LEASE_SECONDS, now=self.clock()
        )

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), fails=st.none() | FAILURES)
    def end(self, which: int, fails: Failure | None) -> None:
        """A job that was begun ends well or badly, unless it was taken away meanwhile."""
        job = self.running.pop(which % len(self.running))
        self.moves = TABLE
        ends = {JobKind.FETCH: self._fetched, JobKind.POLL: self._asked, JobKind.SEAL: self._sealed}
        self._settled(lambda: ends[job.kind](job, fails))

    @rule(verdict=st.none() | st.sampled_from(Verdict), flagged=st.booleans())
    def draw(self, verdict: Verdict | None, flagged: bool) -> None:
        """A renderer brings a picture or says why not, a while after it was asked or at once."""
        if not self.drawing:
            self.begin(JobKind.RENDER)
        if not self.drawing:
            return
        commission = self.drawing.pop(0)
        number = commission.slot.number
        name = commission.generation.id
        self.moves = TABLE

        def settle() -> None:
            now = self.clock()
            if verdict is not None:
                again_at = now + timedelta(seconds=5)
                leases.fail(
                    self.tables, commission, verdict, "no checkpoint", again_at=again_at, now=now
                )
                return
            drawn = self._picture(Origin.FALLBACK, number, replace(DRAWN, flagged=flagged))
            leases.complete(self.tables, commission, drawn, now=now)
            self.models[name].stored(commission.index, Origin.FALLBACK)

        self._settled(settle)

    @rule(fails=st.none() | FAILURES)
    def fetch(self, fails: Failure | None) -> None:
        """A link is fetched, or lost, at once."""
        self.begin(JobKind.FETCH)
        if self.running:
            self.end(-1, fails)

    @rule(seconds=st.sampled_from([1, 40, 4000]))
    def wait(self, seconds: int) -> None:
        """Time passes, and what dead workers held is taken back."""
        self.clock.advance(seconds=seconds)
        self.tables.jobs.recover(now=self.clock())

    # What people order.

    @rule(which=st.integers(0, 9), order=st.sampled_from([*ORDERS]))
    def order(self, which: int, order: str) -> None:
        """Any order about any job there is."""
        lines = self.tables.orders.page(JobFilter(), below=None, limit=99)
        if lines:
            ORDERS[order](self.tables, lines[which % len(lines)].number, now=self.clock())

    @rule(name=st.sampled_from(NAMES), index=st.sampled_from([0, 1, None]))
    def forget(self, name: str, index: int | None) -> None:
        """A generation or one of its slots is to vanish; nobody takes it from under a worker."""
        if index is None and name != NAMES[-1]:
            return  # the others are to go on
        known = self._load(name)
        slot = known.slot(index) if known and index is not None else None
        if known is None or (index is not None and slot is None):
            return
        target = Target(provider="doitong", id=name, index=index)
        tombstone = Tombstone(
            name_sha256=name_digest("doitong", name),
            index=index,
            numbers=(),
            forgotten_at=self.clock(),
            reason="asked",
        )
        model = self.models[name]
        # From the tombstone on nothing more is taken in, but pictures stay until workers are done.
        if not take_out(self.tables, target=target, tombstone=tombstone, now=self.clock()):
            self.tables.jobs.recover(now=self.clock() + timedelta(hours=1))
            self.running, self.drawing = [], []
            assert take_out(self.tables, target=target, tombstone=tombstone, now=self.clock())
        if index is None:
            self.models[name] = Model(forgotten=True)
        else:
            model.lost(index)

    # What must be so.

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        """After each step, of each generation."""
        type(self).steps += 1
        for name, model in self.models.items():
            known = self._load(name)
            if known is None:
                assert model.forgotten or model.rank < 0
                continue
            assert not model.forgotten
            model.check(known, self.moves, self.tables.jobs)
        self.moves = REACH

    # How it is done.

    def _settled(self, settle: Callable[[], None]) -> None:
        """Settles a job; one whose lease has passed on changes nothing."""
        before = [self._load(name) for name in NAMES]
        try:
            settle()
        except LeaseLostError:
            assert [self._load(name) for name in NAMES] == before

    def _fetched(self, job: Job, fails: Failure | None) -> None:
        state = JobState.COMPLETED if fails is None else JobState.DISCARDED
        if fails is not None and fails.failure_class is FailureClass.OPERATOR:
            state = JobState.HELD
        self.tables.jobs.finish(job, state, now=self.clock())
        before = self.tables.generations.load_slot(job.subject)
        assert before is not None
        slot = next(slot for slot in before.slots if slot.number == job.subject)
        if fails is not None:
            after = lifecycle.lose_link(before, slot.index, bytes.fromhex(job.target), fails)
        else:
            picture = self._picture(Origin.PROVIDER, job.subject)
            after = lifecycle.archive(before, slot.index, picture)
            self.models[before.id].stored(slot.index, Origin.PROVIDER)
        keep(self.tables, before, after, now=self.clock())

    def _asked(self, job: Job, fails: Failure | None) -> None:
        self.tables.jobs.finish(job, JobState.COMPLETED, now=self.clock())
        before = self.tables.generations.load_key(job.subject)
        assert before is not None
        if lifecycle.has_ended(before) or fails is None:
            after = lifecycle.stop_asking(before)
        else:
            after = lifecycle.lose(before, fails)
            self.models[before.id].told(GenerationState.LOST)
        keep(self.tables, before, after, now=self.clock())

    def _sealed(self, job: Job, _fails: Failure | None) -> None:
        self.tables.jobs.finish(job, JobState.COMPLETED, now=self.clock())
        self.tables.generations.seal(job.subject, int(job.target))
        generation = self.tables.generations.load_key(job.subject)
        assert generation is not None
        keep(self.tables, generation, generation, now=self.clock())

    def _picture(
        self, origin: Origin, number: int | None, rendering: Rendering | None = None
    ) -> Asset:
        sha256 = bytes(30) + bytes([number or 0, len(origin)])
        key = blob_key(sha256, "png")
        return replace(asset(origin), sha256=sha256, blob_key=key, rendering=rendering)

    def _load(self, name: str) -> Generation | None:
        return self.tables.generations.load("doitong", name)
