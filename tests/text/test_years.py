from __future__ import annotations

import pytest

from rag.text.years import Period, split_off, years_in


@pytest.mark.parametrize(
    ("period", "years", "expected"),
    [
        (Period(None, 2019), [2019], 1.0),
        (Period(None, 2019), [1994], 0.8),
        (Period(None, 2019), [], 0.5),
        (Period(None, 2019), [2020], 0.5),
        (Period(None, 2019), [1994, 2019, 2030], 1.0),  # the latest inside
        (Period(2019, None), [2019], 0.6),
        (Period(2019, None), [2069], 1.0),
        (Period(2010, 2014), [2012], 0.8),
        (Period(2010, 2014), [2009], 0.5),
        (Period(2012, 2012), [2012], 1.0),  # equal ends have no line between them
        (Period(2010, 2014, earliest=True), [2010, 2014], 1.0),
        (Period(2010, 2014, earliest=True), [2014], 0.6),
    ],
)
def test_the_coefficient_is_a_line_from_six_tenths_to_one(period: Period, years: list[int], expected: float) -> None:
    assert period.coefficient(years) == pytest.approx(expected)


def test_an_open_period_ends_with_the_collection_s_newest_year() -> None:
    assert Period(2019, None).coefficient([2021], newest=2023) == pytest.approx(0.8)  # 2 of 4 years
    assert Period(2019, None).coefficient([2019], newest=2001) == 1.0


@pytest.mark.parametrize(
    ("question", "rest", "period"),
    [
        ("Who led the club before 2019?", "Who led the club?", Period(None, 2019)),
        ("Between 2010 and 2014, who won the cup?", "who won the cup?", Period(2010, 2014)),
        ("Who was president from 1990 to 1994?", "Who was president?", Period(1990, 1994)),
        ("Who won in May 2012?", "Who won?", Period(2012, 2012)),
        ("What happened on 5 March, 2011?", "What happened?", Period(2011, 2011)),
        ("Who was the first champion since 1990?", "Who was the first champion?", Period(1990, None, True)),
        ("What was reported on 2023-11-24 by all?", "What was reported by all?", Period(2023, 2023)),
        ("Who starred in the 1979 film?", "Who starred in the 1979 film?", None),  # names the film, not a time
        ("Who won in the year 1979?", "Who won?", Period(1979, 1979)),
        ("What does the 2019 report say?", "What does the 2019 report say?", None),
        ("Who sells 12,019 cars?", "Who sells 12,019 cars?", None),
        ("before 2019", "before 2019", Period(None, 2019)),
    ],
)
def test_a_period_is_split_off_a_question(question: str, rest: str, period: Period | None) -> None:
    assert split_off(question) == (rest, period)


def test_numbers_that_are_no_years_are_left_out() -> None:
    text = "In 1628 and the 1990s, 1990–1994, 2019-05-01, 05.03.2011. Not 1,999 or x1999, 19999, 1999.5 or 3000."
    assert years_in(text) == [1628, 1990, 1990, 1994, 2019, 2011]
