"""Sorting and picking by a key that the program computes."""


def _sorted(iterable, /, *, key=None, reverse=False):
    elements = list(iterable)
    return _in_order(elements, [key(element) for element in elements], reverse)


def _list_sort(target, /, *, key=None, reverse=False):
    _sort_list(target, [key(element) for element in target], reverse)


def _min(*values, key=None, **default):
    return _picked(values, key, default, False)


def _max(*values, key=None, **default):
    return _picked(values, key, default, True)


def _picked(values, key, default, greatest):
    elements = list(values[0]) if len(values) == 1 else list(values)
    if not elements:
        return max(elements, **default) if greatest else min(elements, **default)
    return _by_key(elements, [key(element) for element in elements], greatest)
