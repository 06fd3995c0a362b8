"""Trials of the way out: thousands of hostile links, and a name server that changes its mind."""

from __future__ import annotations

from typing import Any

from tests.archiver.island import on_island
from tests.torture.trial import Row, Run

_VISITS = "tests.archiver.ssrf_visits"
_WAYS = "tests.torture.ssrf_ways"
_GUARDED = ("guarded", "guarded by the address alone")
_CONTROLS = ("plain", "resolved and checked", "everywhere allowed")
_JUDGES, _JUDGES_NOTHING = "a proxy that judges", "a proxy that judges nothing"


def ssrf(run: Run) -> list[Row]:
    """The guarded client, the same through a proxy, and every way into a whole service."""
    return [_client(run), _proxy(run), _service(run)]


def _client(run: Run) -> Row:
    made_up = 5000 if run.long else 0
    kept = _visited(run, _GUARDED, made_up=made_up)
    broken = _visited(run, _CONTROLS, sample=None if run.long else 150)
    return Row(
        test="ssrf: a link",
        dose=f"{kept[_GUARDED[0]]['links']} hostile links twice, to two policies, where every "
        "address has a listener and names rebind",
        must="0 of them inside, public places reached",
        result=_told(kept),
        kept=all(it["inside"] == 0 and it["public"] > 0 for it in kept.values()),
        control=_told(broken),
        control_broke=all(it["inside"] >= it["links"] / 10 for it in broken.values()),
    )


def _proxy(run: Run) -> Row:
    sample = None if run.long else 150
    kept = _visited(run, [_JUDGES], sample=sample)
    broken = _visited(run, [_JUDGES_NOTHING], sample=sample)
    return Row(
        test="ssrf: egress.proxy",
        dose=f"{kept[_JUDGES]['links']} of the same links",
        must="0 inside; it is told no address inside, in any notation",
        result=_told(kept),
        kept=kept[_JUDGES]["inside"] == 0 and kept[_JUDGES]["public"] > 0,
        control=_told(broken),
        control_broke=broken[_JUDGES_NOTHING]["inside"] > 0,
    )


def _service(run: Run) -> Row:
    kept = _entered(run, count=1000 if run.long else 120, guarded=True)
    broken = _entered(run, count=40, guarded=False)
    sent = sum(it["sent"] for it in kept.values())
    met = {name: sum(it[name] for it in kept.values()) for name in ("inside", "public")}
    return Row(
        test="ssrf: every way in",
        dose=f"{sent} links and requests by {len(kept)} ways: {', '.join(kept)}",
        must="0 connections inside, whatever host and port is allowed",
        result=f"{met['inside']} inside, {met['public']} to public places",
        kept=met["inside"] == 0 and met["public"] > 0,
        control="allow_cidrs opened: " + ", ".join(f"{it['inside']}" for it in broken.values()),
        control_broke=sum(it["inside"] > 0 for it in broken.values()) >= 5,
    )


def _visited(run: Run, clients: Any, *, made_up: int = 0, sample: int | None = None) -> Any:
    said = {"seed": run.seed, "made_up": made_up, "sample": sample, "clients": [*clients]}
    return on_island(_VISITS, run.folder, **said)


def _entered(run: Run, *, count: int, guarded: bool) -> dict[str, dict[str, int]]:
    folder = run.folder / ("guarded" if guarded else "open")
    folder.mkdir()
    said = {"seed": run.seed, "count": count, "guarded": guarded}
    found: dict[str, dict[str, int]] = on_island(_WAYS, folder, **said)
    return found


def _told(found: dict[str, dict[str, int]]) -> str:
    return "; ".join(
        f"{name}: inside with {it['inside']} of {it['links']}, {it['public']} connections outside"
        for name, it in found.items()
    )
