"""Built-ins and `itertools` where they call back, or must not read a generator to its end."""


def _next(iterator, *default):
    for element in iterator:
        return element
    if default:
        return default[0]
    raise StopIteration


def _iter(generator):
    return generator


def _any(iterable):
    for element in iterable:
        if element:
            return True
    return False


def _all(iterable):
    for element in iterable:
        if not element:
            return False
    return True


def _zip(*iterables, strict=False):
    iterators = [iter(iterable) for iterable in iterables]
    while iterators:
        row = []
        for iterator in iterators:
            for element in iterator:
                row.append(element)
                break
            else:
                if strict:
                    _check_ends(iterators, len(row))
                return
        yield tuple(row)


def _check_ends(iterators, ended):
    if ended:
        raise ValueError(f"zip() argument {ended + 1} is shorter than argument {ended}")
    for position in range(1, len(iterators)):
        for element in iterators[position]:
            raise ValueError(f"zip() argument {position + 1} is longer than argument {position}")


def _enumerate(iterable, start=0):
    for element in iterable:
        yield start, element
        start += 1


def _map(function, iterable, *more):
    if more:
        for elements in _zip(iterable, *more):
            yield function(*elements)
    else:
        for element in iterable:
            yield function(element)


def _filter(function, iterable):
    for element in iterable:
        if element if function is None else function(element):
            yield element


def _filterfalse(function, iterable):
    for element in iterable:
        if not (element if function is None else function(element)):
            yield element


def _takewhile(predicate, iterable):
    for element in iterable:
        if not predicate(element):
            return
        yield element


def _dropwhile(predicate, iterable):
    dropping = True
    for element in iterable:
        if dropping and predicate(element):
            continue
        dropping = False
        yield element


def _starmap(function, iterable):
    for elements in iterable:
        yield function(*elements)


def _accumulate(iterable, func=None, *, initial=None):
    started = initial is not None
    total = initial
    if started:
        yield total
    for element in iterable:
        if not started:
            total = element
            started = True
        elif func is None:
            total = total + element
        else:
            total = func(total, element)
        yield total


def _chain(*iterables):
    for iterable in iterables:
        for element in iterable:
            yield element


def _chain_from_iterable(iterables):
    for iterable in iterables:
        for element in iterable:
            yield element


def _cycle(iterable):
    seen = []
    for element in iterable:
        seen.append(element)
        yield element
    while seen:
        for element in seen:
            yield element


def _compress(data, selectors):
    for element, wanted in _zip(data, selectors):
        if wanted:
            yield element


def _islice(iterable, *bounds):
    start, stop, step = _islice_bounds(*bounds)
    iterator = iter(iterable)
    position = 0
    while stop is None or position < stop:
        for element in iterator:
            break
        else:
            return
        if position == start:
            yield element
            start += step
        position += 1


def _groupby(iterable, key=None):
    group = []
    current = None
    for element in iterable:
        found = element if key is None else key(element)
        if group and found == current:
            group.append(element)
        else:
            if group:
                yield current, iter(group)
            current = found
            group = [element]
    if group:
        yield current, iter(group)


def _zip_longest(*iterables, fillvalue=None):
    iterators = [iter(iterable) for iterable in iterables]
    ended = [False for _ in iterators]
    while True:
        row = []
        for position in range(len(iterators)):
            element = fillvalue
            if not ended[position]:
                for element in iterators[position]:
                    break
                else:
                    ended[position] = True
            row.append(element)
        if all(ended):
            return
        yield tuple(row)


def _pairwise(iterable):
    before = []
    for element in iterable:
        if before:
            yield before[0], element
        before = [element]


def _batched(iterable, n, *, strict=False):
    if n < 1:
        raise ValueError("n must be at least one")
    batch = []
    for element in iterable:
        batch.append(element)
        if len(batch) == n:
            yield tuple(batch)
            batch = []
    if batch:
        if strict:
            raise ValueError("batched(): incomplete batch")
        yield tuple(batch)


def _tee(iterable, n=2):
    elements = list(iterable)
    return tuple([iter(elements) for _ in range(n)])
