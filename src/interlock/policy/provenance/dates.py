"""Days and times a person named, against a date or time in an argument.

Understood: `2024-05-15`, `May 15th, 2024`, `15th of May`, `15 May 2024` (English month
names), `10:00`, `10 am`, `noon`. A day named without its year stands for that day of any
year. Forms whose meaning depends on the country (`05/06/2024`) are not read.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time

__all__ = ["Said", "moment", "without_days"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sep(?:t|tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,? (?:of )?(\d{4}))?(?![\d:])"
_ISO = re.compile(r"(?<![\d-])(\d{4})-(\d{1,2})-(\d{1,2})(?![\d-])")
_MONTH_FIRST = re.compile(rf"(?<!\w){_MONTH} (?:the )?{_DAY}(?!\d){_YEAR}")
_DAY_FIRST = re.compile(rf"(?<!\w){_DAY}(?: of)? {_MONTH}(?!\w){_YEAR}")
_CLOCK = re.compile(r"(?<![\d:.])(\d{1,2})(?::(\d{2}))? ?(am|pm|a\.m\.|p\.m\.)?(?![\d\w:])")
_NAMED = {"noon": time(12), "midnight": time(0)}
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)


def moment(value: object) -> tuple[date, time | None] | None:
    """A value that is an ISO 8601 date or date and time; None for anything else."""
    if isinstance(value, datetime):
        return value.date(), value.time()
    if not isinstance(value, str) or not _MOMENT.fullmatch(value.strip()):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return found.date(), found.time() if len(value.strip()) > 10 else None


def without_days(text: str) -> str:
    """Normalised text without the days of the year in it."""
    return _DAY_FIRST.sub(" ", _MONTH_FIRST.sub(" ", text))


@dataclass(frozen=True, slots=True)
class Said:
    """Days and times of day somebody named."""

    days: frozenset[tuple[int | None, int, int]]
    """(year or None, month, day)"""
    times: frozenset[time]

    @classmethod
    def of(cls, text: str) -> "Said":
        """Reads them out of normalised text."""
        days: set[tuple[int | None, int, int]] = set()
        for year, month, day in _ISO.findall(text):
            days.add((int(year), int(month), int(day)))
        for name, day, year in _MONTH_FIRST.findall(text):
            days.add((int(year) if year else None, _MONTHS.index(name[:3]) + 1, int(day)))
        for day, name, year in _DAY_FIRST.findall(text):
            days.add((int(year) if year else None, _MONTHS.index(name[:3]) + 1, int(day)))
        times = {when for word, when in _NAMED.items() if re.search(rf"\b{word}\b", text)}
        for hour, minute, half in _CLOCK.findall(text):
            if not minute and not half:
                continue
            number = int(hour) % 12 + 12 * half.startswith("p") if half else int(hour)
            if number < 24 and int(minute or 0) < 60:
                times.add(time(number, int(minute or 0)))
        return cls(frozenset(days), frozenset(times))

    def day(self, when: date) -> bool:
        """Whether that day was named, with its year or without one."""
        return bool({(when.year, when.month, when.day), (None, when.month, when.day)} & self.days)

    def time(self, when: time) -> bool:
        """Whether that time of day was named."""
        return when.replace(second=0, microsecond=0, tzinfo=None) in self.times
