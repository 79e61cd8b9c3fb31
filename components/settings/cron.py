"""Cron expressions and time zones as the CronJob controller reads them.

Source: Kubernetes, "CronJob", and the parser it uses (github.com/robfig/cron/v3, ParseStandard): five
fields, Sunday is 0 and never 7, no seconds, names of months and days, and the @ shortcuts.
"""

from __future__ import annotations

import calendar
import functools
import zoneinfo

SHORTCUTS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if number}
DAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)}
FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 6, DAYS),
)


def checked_schedule(value: str) -> str:
    """The expression itself.

    :raises ValueError: saying which field is wrong.
    """
    value = value.strip()
    if value.startswith("@"):
        if value not in SHORTCUTS:
            raise ValueError(f"must be one of {', '.join(sorted(SHORTCUTS))}, or five fields")
        return value
    fields = value.split()
    if fields and fields[0].startswith(("TZ=", "CRON_TZ=")):
        raise ValueError("must hold no time zone; set timeZone")
    if len(fields) != len(FIELDS):
        raise ValueError("must have five fields: minute, hour, day of the month, month, day of the week")
    for text, field in zip(fields, FIELDS, strict=True):
        for part in text.split(","):
            _check_part(part, *field)
    return value


def _check_part(part: str, what: str, low: int, high: int, names: dict[str, int]) -> None:
    span, slash, step = part.partition("/")
    if slash and (not step.isdigit() or int(step) == 0):
        raise ValueError(f"has a {what} {part!r}: a step is a number above 0")
    if span in ("*", "?"):
        return
    first, dash, last = span.partition("-")
    ends = [_number(end, names) for end in ((first, last) if dash else (first,))]
    if any(end is None or not low <= end <= high for end in ends):
        raise ValueError(f"has a {what} {part!r}: allowed are {low} to {high}")
    if dash and ends[0] > ends[1]:  # type: ignore[operator]
        raise ValueError(f"has a {what} {part!r}: it ends before it begins")


def _number(text: str, names: dict[str, int]) -> int | None:
    return int(text) if text.isdigit() else names.get(text.lower())


def checked_time_zone(value: str) -> str:
    """The name itself.

    :raises ValueError: when the time zone database does not know it.
    """
    known = _time_zones()
    # A machine without the database leaves the judgement to the Kubernetes API, which has one built in.
    if known and value not in known:
        raise ValueError("must be a name of the time zone database, such as Europe/Berlin or Etc/UTC")
    return value


@functools.cache
def _time_zones() -> set[str]:
    """Every name that this machine's database knows; reading it takes a while, and stacks name many."""
    return zoneinfo.available_timezones()
