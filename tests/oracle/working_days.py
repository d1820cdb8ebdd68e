"""Last days of deadlines, counted day by day with another source of holidays: the package chinesecalendar.

Prints JSON lines for `engine/tests/calendar_oracle.rs`: first which days of 2024 to 2026 are worked, then cases, each
with its answer. Nothing here knows our tables or our way of counting. The rule (domain notes 7.4): the start is not
counted; a pause takes away the days after it up to and including the day of resuming.

    python3 -m venv .venv && .venv/bin/pip install chinesecalendar==1.11.0
    .venv/bin/python tests/oracle/working_days.py --seed 7 --cases 10
"""

import argparse
import json
import random
from datetime import date, timedelta
from importlib.metadata import version

from chinese_calendar import is_workday

FIRST, LAST = date(2024, 1, 1), date(2026, 12, 31)
DAY = timedelta(days=1)


class Beyond(Exception):
    """The answer rests on a day of which nothing is published."""


def worked(day):
    if day > LAST:
        raise Beyond
    return is_workday(day)


def answer(start, total, working, roll, pauses):
    """The last day, or what was used when the clock stands still."""
    used, day = 0, start
    while used < total:
        day += DAY
        if any(begin < day and end is None for begin, end in pauses):
            return {"used": used}
        if any(begin < day <= end for begin, end in pauses):
            continue
        if not working or worked(day):
            used += 1
    while roll and not worked(day):
        day += DAY
    return {"last_day": day.isoformat()}


def case(dice):
    start = FIRST + dice.randrange((LAST - FIRST).days + 1) * DAY
    working = dice.random() < 0.6
    roll = not working and dice.random() < 0.7
    pauses = []
    for _ in range(dice.choice([0, 0, 1, 1, 2, 3])):
        begin = start + dice.randint(-10, 80) * DAY
        pauses.append((begin, begin + dice.randint(0, 45) * DAY))
    if dice.random() < 0.1:
        pauses.append((start + dice.randint(-5, 60) * DAY, None))
    dice.shuffle(pauses)
    n = dice.randint(1, 60)
    extensions = [dice.randint(1, 20)] if dice.random() < 0.15 else []
    told = {
        "start": start.isoformat(),
        "length": f"{n} {'working' if working else 'calendar'} day{'' if n == 1 else 's'}",
        "extensions": extensions,
        "roll": roll,
        "pauses": [[begin.isoformat(), end and end.isoformat()] for begin, end in pauses],
    }
    try:
        return told | answer(start, n + sum(extensions), working, roll, pauses)
    except Beyond:
        return told | {"beyond": True}


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--seed", type=int, required=True)
    asked.add_argument("--cases", type=int, required=True, help="cases with an answer; those without one come on top")
    asked = asked.parse_args()
    days = (FIRST + n * DAY for n in range((LAST - FIRST).days + 1))
    print(json.dumps({"source": version("chinesecalendar"), "first": FIRST.isoformat(), "days": "".join("01"[is_workday(d)] for d in days)}))
    dice, answered = random.Random(asked.seed), 0
    while answered < asked.cases:
        told = case(dice)
        answered += "beyond" not in told
        print(json.dumps(told))


if __name__ == "__main__":
    main()
