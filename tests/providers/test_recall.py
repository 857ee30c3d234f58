"""Looking up what a user said earlier."""

import pytest

from clew.core.items import Item, message
from clew.providers.recall import facts_in, recall


def user(text: str) -> Item:
    return message("msg_1", "user", text, 0)


def values(text: str) -> list[str]:
    return [fact.value for fact in facts_in(user(text))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("My invoice number is INV-20391.", ["INV-20391"]),
        ("It's about order ORD-77 and invoice INV-20391!", ["ORD-77", "INV-20391"]),
        ("account 7741234, ticket T-1009", ["7741234", "T-1009"]),
        ("My table number is 7", ["7"]),
        ("order id: a9f", ["a9f"]),
        ("My name is Ada and I am late.", ["Ada"]),
        ("My favourite colour is dark teal.", ["dark teal"]),
        ("I was charged $49.00 on 2026-11-01 at 10am, twice in 2026.", []),
        ("Why?", []),
        ("", []),
    ],
)
def test_identifiers_and_stated_values_are_facts_and_dates_and_sums_are_not(
    text: str, found: list[str]
) -> None:
    assert values(text) == found


EARLIER = [
    user("Hello, my name is Ada."),
    user("My invoice number is INV-20391. The order was ORD-77."),
    message("msg_2", "assistant", "The invoice number is INV-99999.", 0),
    user("I also called on 2026-11-01 about it."),
]


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("What is the invoice number I gave you?", "INV-20391"),
        ("Has the refund for that invoice gone through?", "INV-20391"),
        ("which orders did I mention", "ORD-77"),
        ("What's my name?", "Ada"),
        ("What was that number again?", "ORD-77"),
    ],
)
def test_a_question_finds_the_fact_that_shares_its_words(question: str, value: str) -> None:
    fact = recall(question, EARLIER)
    assert fact is not None
    assert fact.value == value


@pytest.mark.parametrize(
    "question",
    [
        "What is the passport number I gave you?",
        "How are you?",
        "My invoice number is INV-1.",
        "",
    ],
)
def test_a_question_nobody_answered_earlier_finds_nothing(question: str) -> None:
    assert recall(question, EARLIER) is None


def test_of_two_facts_about_the_same_thing_the_newer_counts() -> None:
    earlier = [user("The invoice is INV-1."), user("Sorry, the invoice is INV-2.")]
    fact = recall("Which invoice?", earlier)
    assert fact is not None
    assert (fact.value, fact.item) == ("INV-2", earlier[1])


def test_what_follows_an_identifier_says_what_it_is_when_nothing_leads_up_to_it() -> None:
    fact = recall("What was my invoice?", [user("INV-20391 is the invoice.")])
    assert fact is not None
    assert fact.sentence == "INV-20391 is the invoice."


def test_a_very_long_message_is_looked_through_in_one_go() -> None:
    fact = recall("Which invoice?", [user("1 " * 128_000 + "invoice INV-20391")])
    assert fact is not None
    assert fact.value == "INV-20391"
