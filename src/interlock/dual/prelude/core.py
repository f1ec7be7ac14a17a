"""What the machine itself calls: generators for natives, default factories."""


def _drained(generator):
    return iter([element for element in generator])


def _call_drained(function, args, words):
    settled = []
    for arg in args:
        if _is_generator(arg):
            settled.append(_drained(arg))
        else:
            settled.append(arg)
    return function(*settled, **words)


def _with_factories(cls, args, words, names, makers):
    for position in range(len(names)):
        words[names[position]] = makers[position]()
    return cls(*args, **words)


def _default_item(mapping, key, factory):
    made = factory()
    mapping[key] = made
    return made
