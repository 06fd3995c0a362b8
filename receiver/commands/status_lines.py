"""What `holdfast status` says to people: a line for each fact, and how urgent it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.filesize import decimal

from receiver.commands.output import one_line
from receiver.commands.status_credit import credit_lines
from receiver.commands.status_line import Line, Urgency, by_urgency, lasting
from receiver.commands.status_recovery import recovery_lines

Facts = Mapping[str, Any]

# The archive role gives a sign of life every five seconds.
_ARCHIVE_PATIENCE_SECONDS = 30
_LONG_BACKLOG = 10_000
# A provider that was refused as lately as this may be being refused now.
_LATELY_SECONDS = 3600
# Write-ahead logs as long as this are held open by somebody.
_LONG_LOGS_BYTES = 256_000_000
_NEEDS_OPERATOR = "needs the operator"


def lines(facts: Facts) -> Sequence[Line]:
    """All of them, the most urgent first."""
    told = (
        _first_loss,
        _archive_role,
        _backlog,
        _unparsed,
        _silences,
        _refused,
        _unreadable,
        _counts,
        _discarded,
        _deliveries,
        _secrets,
        _renderer,
        credit_lines,
        recovery_lines,
        _sizes,
        _disk,
    )
    return by_urgency(line for tell in told for line in tell(facts))


def _first_loss(facts: Facts) -> Iterator[Line]:
    seconds, links = facts["seconds_to_first_loss"], facts["links"]
    soon, overdue = links["dying_within_the_hour"], links["overdue"]
    if seconds is None:
        yield Line(subject="first loss", sentence="nothing waits to be fetched")
        return
    when = f"in {seconds:.0f} s" if seconds >= 0 else f"was due {lasting(-seconds)} ago"
    if soon:
        when += f"; {soon:,} {'link dies' if soon == 1 else 'links die'} within the hour"
    if overdue:
        when += f"; {overdue:,} may be dead already"
    urgency = Urgency.LOSS if soon or overdue else Urgency.CALM
    yield Line(subject="first loss", sentence=when, urgency=urgency)


def _archive_role(facts: Facts) -> Iterator[Line]:
    seconds = facts["archive_beat_seconds_ago"]
    silent = seconds is None or seconds > _ARCHIVE_PATIENCE_SECONDS
    nothing_done = "; nothing is fetched or absorbed: read its log" if silent else ""
    yield Line(
        subject="archive role",
        sentence=f"{_alive(seconds)}{nothing_done}",
        urgency=Urgency.LOSS if silent else Urgency.CALM,
    )


def _backlog(facts: Facts) -> Iterator[Line]:
    count = facts["backlog"]
    urgency = Urgency.AMISS if count >= _LONG_BACKLOG else Urgency.CALM
    yield Line(
        subject="backlog", sentence=f"{count:,} deliveries not yet absorbed", urgency=urgency
    )


def _unparsed(facts: Facts) -> Iterator[Line]:
    if count := facts["unparsed"]:
        told = f"{count:,} deliveries not understood: holdfast deliveries list --state unparsed"
        yield Line(subject="unparsed", sentence=told, urgency=Urgency.AMISS)


def _silences(facts: Facts) -> Iterator[Line]:
    for one in facts["silences"]:
        told = "webhook" if one["heard"] == "pushed" else "answer"
        yield Line(
            subject="silent",
            sentence=f"{one['provider']}: no {told} for {lasting(one['seconds'])}, usually every "
            f"{lasting(one['usual_seconds'])}, and generations are under way",
            urgency=Urgency.AMISS,
        )


def _refused(facts: Facts) -> Iterator[Line]:
    for one in facts["refused"]:
        ago = f"the last {lasting(one['last_seconds_ago'])} ago"
        lately = one["last_seconds_ago"] < _LATELY_SECONDS
        yield Line(
            subject="refused",
            sentence=f"{one['count']:,} from {one['source']}, {ago}: {one['reason']}",
            urgency=Urgency.AMISS if lately else Urgency.CALM,
        )


def _unreadable(facts: Facts) -> Iterator[Line]:
    for sentence in facts["unreadable"]:
        yield Line(subject="inbox", sentence=sentence, urgency=Urgency.LOSS)


def _counts(facts: Facts) -> Iterator[Line]:
    for name in ("slots", "generations", "jobs", "holds", "losses"):
        counts = ", ".join(f"{count:,} {what}" for what, count in sorted(facts[name].items()))
        amiss = name == "holds" and _NEEDS_OPERATOR in facts[name]
        yield Line(
            subject=name,
            sentence=counts or "none",
            urgency=Urgency.AMISS if amiss else Urgency.CALM,
        )


def _discarded(facts: Facts) -> Iterator[Line]:
    for one in facts["discarded"]:
        reason = one_line(one["reason"], width=200)
        yield Line(subject="given up", sentence=f"{one['count']:,} {one['kind']}: {reason}")


def _deliveries(facts: Facts) -> Iterator[Line]:
    least = "" if facts["deliveries_exact"] else "at least "
    for source, one in facts["deliveries"].items():
        counts = {name: one[name] for name in ("absorbed", "unparsed", "waiting") if one[name]}
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        ago = lasting(one["last_seconds_ago"])
        sentence = f"{source}: {least if told else ''}{told or 'none'} in 24 h, the last {ago} ago"
        yield Line(subject="deliveries", sentence=sentence)


def _secrets(facts: Facts) -> Iterator[Line]:
    for one in facts["secrets"]:
        seconds = one["last_seconds_ago"]
        used = "nothing lately" if seconds is None else f"a webhook {lasting(seconds)} ago"
        gone = "" if one["configured"] else ", and is configured no more"
        label = one_line(one["label"], width=40)
        yield Line(subject="secret", sentence=f"{one['provider']} {label} verified {used}{gone}")


def _renderer(facts: Facts) -> Iterator[Line]:
    renderer = facts["renderer"]
    counts = f"{renderer['waiting']:,} waiting, {renderer['drawing']:,} being drawn"
    yield Line(subject="renderer", sentence=f"{_alive(renderer['beat_seconds_ago'])}; {counts}")
    for reason, count in renderer["not_drawn"].items():
        yield Line(subject="not drawn", sentence=f"{count:,}: {one_line(reason, width=200)}")


def _sizes(facts: Facts) -> Iterator[Line]:
    sizes = facts["sizes"]
    yield Line(subject="bucket", sentence=f"{decimal(sizes['pictures_bytes'])} of pictures")
    files = ", ".join(
        f"{name} {decimal(sizes[f'{key}_bytes'])}"
        for name, key in (("index", "index"), ("inboxes", "inbox"), ("logs", "log"))
    )
    long = sizes["log_bytes"] > _LONG_LOGS_BYTES
    yield Line(subject="files", sentence=files, urgency=Urgency.AMISS if long else Urgency.CALM)


def _disk(facts: Facts) -> Iterator[Line]:
    disk = facts["disk"]
    free = f"{disk['free_bytes'] / 2**30:.1f} GiB free"
    if disk["free_bytes"] < disk["min_free_bytes"]:
        full = f"{free}; too full: webhooks are refused, free some space"
        yield Line(subject="disk", sentence=full, urgency=Urgency.LOSS)
    else:
        yield Line(subject="disk", sentence=free)


def _alive(seconds: float | None) -> str:
    return "never ran" if seconds is None else f"last seen {lasting(seconds)} ago"
