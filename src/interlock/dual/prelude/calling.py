"""Functions of `functools`, `re` and `json` that call a function of the program."""


def _reduce(function, iterable, *initial):
    started = len(initial) > 0
    total = initial[0] if started else None
    for element in iterable:
        if started:
            total = function(total, element)
        else:
            total = element
            started = True
    if not started:
        raise TypeError("reduce() of empty iterable with no initial value")
    return total


def _partial(function, /, *args, **words):
    if not callable(function):
        raise TypeError("the first argument must be callable")

    def partial(*more, **others):
        return function(*args, *more, **{**words, **others})

    return partial


def _re_replaced(pattern, repl, string, count, flags):
    parts = []
    last = 0
    done = 0
    for match in _re_finditer(pattern, string, flags):
        if count and done == count:
            break
        parts.append(string[last : match.start()])
        piece = repl(match)
        parts.append("" if piece is None else piece)
        last = match.end()
        done += 1
    parts.append(string[last:])
    return "".join(parts), done


def _re_sub(pattern, repl, string, count=0, flags=0):
    return _re_replaced(pattern, repl, string, count, flags)[0]


def _re_subn(pattern, repl, string, count=0, flags=0):
    return _re_replaced(pattern, repl, string, count, flags)


def _json_dumps(obj, *, default=None, **options):
    return _json_text(_json_ready(obj, default), **options)


def _json_ready(value, default):
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {key: _json_ready(item, default) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_ready(item, default) for item in value]
    return _json_ready(default(value), default)
