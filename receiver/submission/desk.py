"""Sends the rows, each when its provider's limits allow, and journals before and after.

Whatever ends this in between, a row that may have been sent stands as such in the journal, and
is never sent again as if it had not been.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from archiver.errors import HoldfastError
from receiver.provider_tables import Limits
from receiver.providers.submitters import SUBMITTERS, Silence
from receiver.submission.batch import Row
from receiver.submission.board import Board, Shown, State, shown
from receiver.submission.doubt import Doubt
from receiver.submission.entries import Entry, Event, idempotency_key
from receiver.submission.limits import History, next_turn
from receiver.submission.lookout import LOOK_SECONDS, Lookout, rest
from receiver.submission.outcome import Outcome, Verdict
from receiver.submission.past import history
from receiver.submission.sending import Sending

# "wait for 30 seconds" (modelslab-overview), where an answer does not say how long.
_LATER_SECONDS = 30.0
# How often a provider that cannot be reached is tried, with 1, 2, 4, … seconds in between.
_MOST_UNREACHED = 4
# How many requests are on their way at once where no limit says; most answer within a second.
_AT_ONCE = 4

_EVENTS = {
    Verdict.SUBMITTED: Event.SUBMITTED,
    Verdict.LATER: Event.WAITING,
    Verdict.UNREACHED: Event.WAITING,
    Verdict.PAUSE: Event.WAITING,
    Verdict.HELD: Event.HELD,
    Verdict.DEAD: Event.DEAD,
}

_UNANSWERED = Outcome(verdict=Verdict.IN_DOUBT, why="it was never answered")


class PausedError(HoldfastError):
    """The batch cannot go on until the operator has mended something; no row of it is lost."""


@dataclass(kw_only=True)
class Desk:
    """One command's work; `paused` says afterwards why it did not send everything.

    `limits` are by provider; `stop` ends the sending once what is on its way is in.
    """

    sending: Sending
    doubt: Doubt
    board: Board
    lookout: Lookout
    limits: Mapping[str, Limits]
    stop: asyncio.Event
    now: Callable[[], datetime]
    paused: HoldfastError | None = None
    _rest_until: dict[str, datetime] = field(default_factory=dict)
    _unreached: Counter[str] = field(default_factory=Counter)
    _on_their_way: set[int] = field(default_factory=set)
    _turns: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    async def send_all(self) -> None:
        """Returns once every row is sent, or refused, or in doubt; or when told to stop."""
        lanes: defaultdict[str, deque[Row]] = defaultdict(deque)
        for row in self.board.rows:
            standing = self.sending.journal.standing(row.number)
            if standing.sent_at is not None:  # before this command was typed again
                self.sending.requested_at[row.provider].append(standing.sent_at)
            if standing.event in (Event.WAITING, Event.SENDING):
                lanes[row.provider].append(row)
        async with asyncio.TaskGroup() as group:
            for provider, lane in lanes.items():
                for _ in range(min(self.limits[provider].parallel or _AT_ONCE, len(lane))):
                    group.create_task(self._work(lane))

    async def _work(self, lane: deque[Row]) -> None:
        while lane and not self.stop.is_set():
            row = lane.popleft()
            try:
                await self._send(row)
            except HoldfastError as error:
                self._pause(error)
            finally:
                self._on_their_way.discard(row.number)

    async def _send(self, row: Row) -> None:
        """One row to its end, be it sent for the first time or in doubt since another day."""
        if self.sending.journal.standing(row.number).event is Event.SENDING:
            self._note(row, await self.doubt.settle(row, _UNANSWERED))
            return
        while await self._turn(row):
            outcome = await self.sending.post(row)
            if outcome.verdict is Verdict.IN_DOUBT:
                outcome = await self.doubt.settle(row, outcome)
            self._note(row, outcome)
            if outcome.verdict not in (Verdict.LATER, Verdict.UNREACHED):
                return

    async def _turn(self, row: Row) -> bool:
        """Waits for the row's turn and journals that it goes; False if told to stop before."""
        async with self._turns[row.provider]:
            while not self.stop.is_set():
                now = self.now()
                turn = next_turn(self.limits[row.provider], self._history(row.provider, now), now)
                if turn.at is not None and turn.at <= now:
                    self._begin(row, now)
                    return True
                self.board.show(row, Shown(why=turn.because))
                seconds = (turn.at - now).total_seconds() if turn.at else LOOK_SECONDS
                await rest(self.stop, seconds)
        return False

    def _begin(self, row: Row, now: datetime) -> None:
        journal = self.sending.journal
        key = idempotency_key(journal.id, row, journal.standing(row.number).refusals)
        journal.append(
            Entry(
                row=row.number,
                event=Event.SENDING,
                at=now,
                provider=row.provider,
                account=self.sending.keys[row.provider].label,
                digest=row.digest,
                key=key,
            )
        )
        self._on_their_way.add(row.number)

    def _note(self, row: Row, outcome: Outcome) -> None:
        now, verdict, journal = self.now(), outcome.verdict, self.sending.journal
        self._on_their_way.discard(row.number)
        if verdict is Verdict.IN_DOUBT:
            self._note_doubt(row, outcome.why)
            return
        journal.append(
            Entry(
                row=row.number,
                event=_EVENTS[verdict],
                at=now,
                id=outcome.generation_id,
                cost=outcome.cost,
                why=outcome.why,
            )
        )
        self.board.show(row, shown(journal.standing(row.number)))
        self._heed(row.provider, outcome)

    def _heed(self, provider: str, outcome: Outcome) -> None:
        """Leaves a provider alone that is busy or out of reach; stops where a person must act."""
        unreached = outcome.verdict is Verdict.UNREACHED
        self._unreached[provider] = self._unreached[provider] + 1 if unreached else 0
        if outcome.verdict is Verdict.PAUSE:
            advice = "add credit, or mend the key or setting that this is about"
            self._pause(PausedError(f"{provider} refuses: {outcome.why}; {advice}"))
        elif self._unreached[provider] == _MOST_UNREACHED:
            self._pause(PausedError(f"{provider} cannot be reached: {outcome.why}"))
        elif outcome.verdict in (Verdict.LATER, Verdict.UNREACHED):
            seconds = 2.0 ** (self._unreached[provider] - 1) if unreached else _LATER_SECONDS
            seconds = outcome.wait_seconds or seconds
            self._rest_until[provider] = self.now() + timedelta(seconds=seconds)

    def _note_doubt(self, row: Row, why: str) -> None:
        """It stands in the journal as being sent, which is all that is known."""
        if SUBMITTERS[row.provider].silence is Silence.REPEAT:
            self.board.show(row, Shown(why=f"no answer yet: {why}"))
            self._pause(PausedError(f"{row.provider}: {why}; asking again cannot begin it twice"))
            return
        advice = "begun or not, nobody knows: look at the provider's own list, or --resend"
        self.board.show(row, Shown(state=State.HELD, why=f"{advice} ({why})"))

    def _history(self, provider: str, now: datetime) -> History:
        return history(
            [row for row in self.board.rows if row.provider == provider],
            self.sending.journal.standing,
            self.lookout.heard.get(provider, ()),
            requested_at=self.sending.requested_at[provider],
            on_their_way=self._on_their_way,
            drawn=lambda row: self.board.of(row).drawn,
            now=now,
            rest_until=self._rest_until.get(provider),
        )

    def _pause(self, error: HoldfastError) -> None:
        """Unless it was told to stop before, in which case nobody wants to know."""
        if not self.stop.is_set():
            self.paused = error
            self.stop.set()
