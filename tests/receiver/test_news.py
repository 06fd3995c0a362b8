"""The same answer again is no news."""

from __future__ import annotations

from archiver.models import GenerationState, Observation
from receiver.news import News


def said(generation_id: str, state: GenerationState, account: str = "a") -> Observation:
    return Observation(
        provider="dashscope", generation_id=generation_id, state=state, account=account
    )


RUNNING, DONE = GenerationState.RUNNING, GenerationState.SUCCEEDED


def test_only_what_differs_from_the_last_is_news() -> None:
    """Of the same generation, asked for by the same account."""
    news = News()
    asked = [said("1", RUNNING), said("1", RUNNING), said("1", DONE), said("1", DONE)]

    assert [news.is_new([one]) for one in asked] == [True, False, True, False]
    assert news.is_new([said("2", DONE)])
    assert news.is_new([said("1", DONE, account="b")])


def test_one_that_is_new_makes_the_whole_answer_news() -> None:
    """And the others are noted with it."""
    news = News()

    assert news.is_new([said("1", RUNNING), said("2", RUNNING)])
    assert news.is_new([said("1", DONE), said("2", RUNNING)])
    assert not news.is_new([said("1", DONE), said("2", RUNNING)])
    assert not news.is_new([])


def test_what_could_not_be_kept_is_news_again() -> None:
    """Else it would be lost for good."""
    news = News()
    news.is_new([said("1", DONE)])
    news.forget([said("1", DONE), said("2", DONE)])

    assert news.is_new([said("1", DONE)])


def test_it_forgets_whom_nobody_has_asked_about_for_longest() -> None:
    """Its memory is bounded."""
    news = News(remembered=2)
    for name in ("1", "2", "1", "3"):
        news.is_new([said(name, DONE)])

    assert not news.is_new([said("1", DONE)])
    assert news.is_new([said("2", DONE)])
