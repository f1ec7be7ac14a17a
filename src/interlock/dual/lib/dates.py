"""Module `datetime`: host date values, the turn's instant as the only clock, UTC for naive ones."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    call_host,
    fail,
    host,
    lift,
    optional,
    plain_args,
)
from interlock.dual.lib.calendar_text import format_moment, instant, parse_moment
from interlock.dual.lib.formats import FormatError
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import shown_type
from interlock.dual.values import TupleObj, Value

__all__ = ["CONSTANTS", "NATIVES"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_CLASSES: Mapping[str, type] = {
    "date": dt.date,
    "datetime": dt.datetime,
    "time": dt.time,
    "timedelta": dt.timedelta,
    "timezone": dt.timezone,
}

CONSTANTS: Mapping[str, Any] = {
    "datetime.UTC": dt.UTC,
    "datetime.MAXYEAR": dt.MAXYEAR,
    "datetime.MINYEAR": dt.MINYEAR,
    **{
        f"datetime.{name}.{bound}": getattr(kind, bound)
        for name, kind in _CLASSES.items()
        for bound in ("min", "max", "resolution")
        if name != "timezone" and hasattr(kind, bound)
    },
    "datetime.timezone.utc": dt.UTC,
}


def _checked(found: Any) -> Value:  # noqa: ANN401 - what the host's function returned
    """The value of a date the host made; never one of a subclass."""
    if type(found) is tuple or type(found).__name__ == "IsoCalendarDate":
        return Value(TupleObj(tuple(lift(item) for item in found)))
    return lift(found)


def _constructor(name: str, doc: str) -> Native:
    kind = _CLASSES[name]

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        if args and isinstance(args[0].data, (bytes, str)):
            # The host would read them as a pickle.
            shown = shown_type(args[0].data)
            fail("TypeError", f"'{shown}' object cannot be interpreted as an integer")
        given = {key: host(value) for key, value in kwargs.items()}
        return lift(call_host(kind, [host(arg) for arg in args], given))

    native.__doc__ = doc
    return Native(fn=native)


def _self(name: str, args: Args, method: str) -> Any:  # noqa: ANN401 - a host date value
    data = args[0].data if args else None
    if not isinstance(data, _CLASSES[name]):
        kind = shown_type(data)
        fail(
            "TypeError",
            f"descriptor '{method}' for 'datetime.{name}' objects doesn't apply to a '{kind}'",
        )
    return data


def _method(name: str, method: str, doc: str) -> Native:
    function: Callable[..., Any] = getattr(_CLASSES[name], method)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        receiver = _self(name, args, method)
        given = {key: host(value) for key, value in kwargs.items()}
        return _checked(call_host(function, (receiver, *(host(a) for a in args[1:])), given))

    native.__doc__ = doc
    return Native(fn=native)


def _attribute(name: str, attribute: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        return lift(getattr(_self(name, args, attribute), attribute))

    native.__doc__ = f"Its {attribute}."
    return Native(fn=native, is_property=True)


def _class_method(name: str, method: str, doc: str) -> Native:
    """A constructor of its own, such as `date.fromisoformat`."""
    function: Callable[..., Any] = getattr(_CLASSES[name], method)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        given = {key: host(value) for key, value in kwargs.items()}
        return _checked(call_host(function, [host(arg) for arg in args], given))

    native.__doc__ = doc
    return Native(fn=native)


def _zone(value: Value | None) -> dt.timezone | None:
    if value is None or value.data is None:
        return None
    if isinstance(value.data, dt.timezone):
        return value.data
    kind = shown_type(value.data)
    raise Raise(
        "TypeError",
        f"tzinfo argument must be None or of a tzinfo subclass, not type '{kind}'",
    )


def _now(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The instant of the turn: in a zone, or naive in UTC."""
    (tz,) = bind("now", args, kwargs, ("tz",))
    zone = _zone(tz)
    moment = env.now.astimezone(dt.UTC)
    return Value(moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone))


def _utc_now(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The instant of the turn, naive in UTC."""
    plain_args("utcnow", args, kwargs, 0, 0)
    return Value(env.now.astimezone(dt.UTC).replace(tzinfo=None))


def _today(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The day of the turn, in UTC."""
    plain_args("today", args, kwargs, 0, 0)
    return Value(env.now.astimezone(dt.UTC).date())


def _from_timestamp(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The instant so many seconds after 1970: in a zone, or naive in UTC."""
    stamp, tz = bind("fromtimestamp", args, kwargs, ("timestamp", "tz"), required=1)
    zone = _zone(tz)
    moment = _moment(optional(stamp))
    return Value(moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone))


def _date_from_timestamp(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The day so many seconds after 1970, in UTC."""
    plain_args("fromtimestamp", args, kwargs, 1, 1)
    return Value(_moment(args[0]).date())


def _moment(stamp: Value) -> dt.datetime:
    seconds = stamp.data
    if not isinstance(seconds, (int, float)):
        fail("TypeError", f"'{shown_type(seconds)}' object cannot be interpreted as an integer")
    moment = call_host(_after_epoch, (seconds,))
    if isinstance(moment, dt.datetime):
        return moment
    raise Raise("ValueError", "year is out of range")


def _after_epoch(seconds: float) -> dt.datetime:
    try:
        return _EPOCH + dt.timedelta(seconds=seconds)
    except OverflowError:
        message = "year is out of range"
        raise ValueError(message) from None


def _timestamp(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Seconds since 1970; a naive value is in UTC."""
    moment = _self("datetime", args, "timestamp")
    plain_args("timestamp", args[1:], kwargs, 0, 0)
    return Value((instant(moment) - _EPOCH).total_seconds())


def _as_timezone(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The same instant in a zone, UTC unless given; a naive value is in UTC."""
    moment = _self("datetime", args, "astimezone")
    (tz,) = bind("astimezone", args[1:], kwargs, ("tz",))
    return lift(call_host(dt.datetime.astimezone, (instant(moment), _zone(tz) or dt.UTC)))


def _str_ftime(name: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        """As text, by a format of `%` directives."""
        moment = _self(name, args, "strftime")
        (form,) = bind("strftime", args[1:], kwargs, ("format",), required=1)
        text = optional(form).data
        if not isinstance(text, str):
            kind = shown_type(text)
            fail("TypeError", f"strftime() argument 1 must be str, not {kind}")
        env.meter.memory(len(text) * 16)
        try:
            return Value(format_moment(moment, text))
        except FormatError as error:
            raise Raise(error.type_name, error.message) from None

    return Native(fn=native)


def _strptime(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The date and time in a text, by a format of `%` directives."""
    plain_args("strptime", args, kwargs, 2, 2)
    text, form = args[0].data, args[1].data
    for position, data in enumerate((text, form)):
        if not isinstance(data, str):
            kind = shown_type(data)
            fail("TypeError", f"strptime() argument {position + 1} must be str, not {kind}")
    env.meter.work(20)
    try:
        return lift(parse_moment(str(text), str(form)))
    except FormatError as error:
        raise Raise(error.type_name, error.message) from None


def _combine(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A day and a time of day together."""
    given = {key: host(value) for key, value in kwargs.items()}
    return lift(call_host(dt.datetime.combine, [host(arg) for arg in args], given))


def _time_tuple(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Year, month, day, hour, minute, second, weekday, day of the year, and -1."""
    moment = args[0].data if args else None
    if not isinstance(moment, dt.date):
        fail("TypeError", f"descriptor doesn't apply to a '{shown_type(moment)}'")
    return Value(TupleObj(tuple(Value(int(part)) for part in moment.timetuple())))


_DATE_METHODS: Mapping[str, str] = {
    "ctime": "As text like `Mon Jan  1 00:00:00 2024`.",
    "isocalendar": "ISO year, week and weekday.",
    "isoformat": "As ISO 8601 text.",
    "isoweekday": "Day of the week, 1 for Monday.",
    "replace": "With some parts replaced.",
    "toordinal": "Days since the first of January of year 1, that being 1.",
    "weekday": "Day of the week, 0 for Monday.",
}
_METHODS: Mapping[str, Mapping[str, str]] = {
    "date": _DATE_METHODS,
    "datetime": {
        **_DATE_METHODS,
        "date": "Its day.",
        "dst": "None: zones here have no summer time.",
        "time": "Its time of day, without zone.",
        "timetz": "Its time of day, with zone.",
        "tzname": "The name of its zone.",
        "utcoffset": "The distance of its zone from UTC.",
    },
    "time": {
        "isoformat": "As ISO 8601 text.",
        "replace": "With some parts replaced.",
        "tzname": "The name of its zone.",
        "utcoffset": "The distance of its zone from UTC.",
    },
    "timedelta": {"total_seconds": "Its length in seconds."},
    "timezone": {"tzname": "Its name.", "utcoffset": "Its distance from UTC."},
}
_CLOCK = ("hour", "minute", "second", "microsecond", "tzinfo", "fold")
_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "date": ("year", "month", "day"),
    "datetime": ("year", "month", "day", *_CLOCK),
    "time": _CLOCK,
    "timedelta": ("days", "seconds", "microseconds"),
}
_FROM: Mapping[str, Mapping[str, str]] = {
    "date": {
        "fromisocalendar": "The day of an ISO year, week and weekday.",
        "fromisoformat": "The day in an ISO 8601 text.",
        "fromordinal": "The day with a number, 1 for the first of year 1.",
    },
    "datetime": {
        "fromisocalendar": "Midnight of an ISO year, week and weekday.",
        "fromisoformat": "The date and time in an ISO 8601 text.",
        "fromordinal": "Midnight of the day with a number.",
    },
    "time": {"fromisoformat": "The time of day in an ISO 8601 text."},
}

NATIVES: dict[str, Native] = {
    **{
        f"datetime.{name}": _constructor(name, doc)
        for name, doc in {
            "date": "A day: year, month, day.",
            "datetime": "A day and time of day, with or without a zone.",
            "time": "A time of day, with or without a zone.",
            "timedelta": "A length of time.",
            "timezone": "A fixed distance from UTC.",
        }.items()
    },
    **{
        f"datetime.{name}.{method}": _method(name, method, doc)
        for name, methods in _METHODS.items()
        for method, doc in methods.items()
    },
    **{
        f"datetime.{name}.{attribute}": _attribute(name, attribute)
        for name, attributes in _ATTRIBUTES.items()
        for attribute in attributes
    },
    **{
        f"datetime.{name}.{method}": _class_method(name, method, doc)
        for name, methods in _FROM.items()
        for method, doc in methods.items()
    },
    **{f"datetime.{name}.strftime": _str_ftime(name) for name in ("date", "datetime", "time")},
    "datetime.date.fromtimestamp": Native(fn=_date_from_timestamp),
    "datetime.date.timetuple": Native(fn=_time_tuple),
    "datetime.date.today": Native(fn=_today),
    "datetime.datetime.astimezone": Native(fn=_as_timezone),
    "datetime.datetime.combine": Native(fn=_combine),
    "datetime.datetime.fromtimestamp": Native(fn=_from_timestamp),
    "datetime.datetime.now": Native(fn=_now),
    "datetime.datetime.strptime": Native(fn=_strptime),
    "datetime.datetime.timestamp": Native(fn=_timestamp),
    "datetime.datetime.timetuple": Native(fn=_time_tuple),
    "datetime.datetime.today": Native(fn=_utc_now),
    "datetime.datetime.utcnow": Native(fn=_utc_now),
}
