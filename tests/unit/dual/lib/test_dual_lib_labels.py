"""No native loses a label: what it returns or changes derives from all it looked at."""

import pytest
from tests.support.dual_programs import IMPORTS, finished, host_data, label, start, tags

from interlock.dual.machine import Machine

TEXT = {
    "upper": 'secret.upper() == "X"',
    "join": '",".join(["a", secret])',
    "join with it": 'secret.join(["a", "b"])',
    "join a comprehension": '"".join([c for c in secret])',
    "replace": '"abc".replace("b", secret)',
    "format": '"{} {x}".format(1, x=secret)',
    "format width": '"{:{w}}".format("a", w=len(secret))',
    "format map": '"{a}".format_map({"a": secret})',
    "percent": '"%s" % secret',
    "percent tuple": '"%s %s" % (1, secret)',
    "percent mapping": '"%(a)s" % {"a": secret}',
    "f-string": 'f"{1} {secret}"',
    "f-string spec": 'f"{1:{len(secret)}}"',
    "split": 'secret.split(",")[0]',
    "split by it": '"a,b".split(secret)[0]',
    "partition": 'secret.partition("=")[1]',
    "translate": '"abc".translate(str.maketrans("a", secret[0]))',
    "encode": "secret.encode()",
    "decode": "secret.encode().decode()",
    "startswith": '"abc".startswith(secret)',
    "count": '"abc".count(secret)',
    "repr": "repr([1, {2: secret}])",
    "str": "str({secret: 1})",
    "ord": "ord(secret[0])",
    "int": "int(str(len(secret)))",
    "json text": 'json.dumps({"a": [secret]})',
    "json value": 'json.loads(json.dumps({"a": [secret]}))["a"]',
    "json sibling": 'json.loads("[1, " + json.dumps(secret) + "]")[0]',
    "json ready": "json.dumps({secret}, default=list)",
    "re search": 're.search("b", secret)',
    "re pattern": "re.search(re.escape(secret), 'abc')",
    "re group": 're.search("(.)", secret).group(1)',
    "re groups": 're.search("(.)", secret).groups()[0]',
    "re span": 're.search(".", secret).start()',
    "re findall": 're.findall(".", secret)[0]',
    "re finditer": '[m.group() for m in re.finditer(".", secret)][0]',
    "re split": 're.split(",", secret)[0]',
    "re sub": 're.sub("a", secret, "banana")',
    "re sub call": 're.sub("a", lambda m: secret, "banana")',
    "re sub in": 're.sub("z", "y", secret)',
    "random choice": "random.choice([secret, 1])",
    "random choices": "random.choices([1, 2], k=len(secret))",
    "strptime": 'datetime.datetime.strptime("2024", "%Y" + secret[:0])',
    "strftime": 'datetime.date(2024, 1, 1).strftime("%Y" + secret[:0])',
    "timedelta": "datetime.timedelta(days=len(secret)).days",
    "math": "math.sqrt(len(secret))",
    "mean": "statistics.mean([1, len(secret)])",
    "capwords": "string.capwords(secret)",
    "cast": "typing.cast(str, secret)",
}
CONTAINERS = {
    "len": "len([secret, 1])",
    "sum": "sum([1, len(secret)])",
    "max of others": "max([9, len(secret)])",
    "max by key": "max(['a', 'b'], key=lambda x: x == secret)",
    "min of arguments": "min(1, len(secret))",
    "sorted element": "sorted([1, len(secret), 99])[0]",
    "sorted by key": "sorted(['a', 'b'], key=lambda x: x == secret)[0]",
    "sort in place": "(lambda a: (a.sort(), a[0])[1])([1, len(secret)])",
    "sort by key": "(lambda a: (a.sort(key=lambda x: secret), a[0])[1])([1, 2])",
    "any": "any([False, secret])",
    "all": "all([secret, False])",
    "any lazily": "any(x == secret for x in ['a', 'b'])",
    "in": "secret in ['a']",
    "list index": "['a', secret].index('a')",
    "list count": "['a', secret].count('a')",
    "list remove": "(lambda a: (a.remove('a'), a[0])[1])([secret, 'a', 'b'])",
    "list pop index": "[1, 2, 3, 4, 5, 6, 7, 8, 9].pop(len(secret))",
    "list insert": "(lambda a: (a.insert(len(secret), 9), a[0])[1])([1])",
    "list extend": "(lambda a: (a.extend([secret]), a[-1])[1])([1])",
    "list copy": "[secret].copy()[0]",
    "list of": "list({secret: 1})",
    "tuple of": "tuple([secret])",
    "dict of": "dict([('a', secret)])['a']",
    "dict key": "dict([(secret, 1)]).get('zzz')",
    "dict get": "{'a': 1}.get(secret)",
    "dict get default": "{'a': 1}.get(secret, 7)",
    "dict get item": "{'a': secret}.get('a')",
    "dict pop": "{'a': secret}.pop('a')",
    "dict pop default": "{secret: 1}.pop('zz', 2)",
    "dict popitem": "{secret: 1}.popitem()",
    "dict setdefault": "{}.setdefault('a', secret)",
    "dict setdefault key": "{}.setdefault(secret, 1)",
    "dict update": "(lambda d: (d.update({'a': secret}), d['a'])[1])({})",
    "dict update words": "(lambda d: (d.update(a=secret), d['a'])[1])({})",
    "dict items": "list({secret: 1}.items())[0][1]",
    "dict keys": "list({secret: 1}.keys())",
    "dict values": "list({secret: 1}.values())[0]",
    "dict fromkeys": "dict.fromkeys(['a'], secret)",
    "set": "set([secret])",
    "set twice": "list(set(['abcdef', secret]))[0]",
    "set union": "{1}.union([secret])",
    "set intersection": "{1, 2}.intersection([1, secret])",
    "set difference": "{1, 2}.difference([secret])",
    "set discard": "(lambda s: (s.discard(secret), s)[1])({1})",
    "set pop": "{secret}.pop()",
    "counter": "collections.Counter([secret, 'a'])",
    "counter of text": "collections.Counter(secret).most_common(1)",
    "counter total": "collections.Counter({'a': len(secret)}).total()",
    "counter sum": "(collections.Counter('a') + collections.Counter(secret))",
    "deque": "collections.deque([secret]).popleft()",
    "deque maxlen": "collections.deque([1, 2, 3, 4, 5, 6, 7, 8, 9], maxlen=len(secret))",
    "defaultdict": "collections.defaultdict(list, {secret: 1})",
    "zip": "list(zip([secret], [1]))[0][0]",
    "enumerate": "list(enumerate([secret]))[0][1]",
    "enumerate start": "list(enumerate('a', len(secret)))[0][0]",
    "reversed": "list(reversed([secret]))",
    "map": "list(map(str.upper, [secret]))[0]",
    "map function": "list(map(lambda x: secret, [1]))[0]",
    "filter": "list(filter(lambda x: x == secret, ['abcdef']))",
    "next": "next(iter([secret]))",
    "next default": "next(iter([]), secret)",
    "reduce": "functools.reduce(lambda a, b: a + b, ['a', secret])",
    "partial": "functools.partial(max, secret)('a')",
    "product": "list(itertools.product([secret], [1]))[0][0]",
    "combinations": "list(itertools.combinations([1, secret], 1))[1]",
    "permutations": "list(itertools.permutations([1, secret]))[0]",
    "chain": "list(itertools.chain([1], [secret]))[1]",
    "accumulate": "list(itertools.accumulate([1, len(secret)]))[1]",
    "groupby": "[k for k, g in itertools.groupby([secret])]",
    "takewhile": "list(itertools.takewhile(lambda x: x == secret, ['abcdef']))",
    "islice": "list(itertools.islice([1, 2, 3, 4, 5, 6, 7, 8, 9], len(secret)))",
    "zip_longest": "list(itertools.zip_longest([1], [2, 3], fillvalue=secret))[1][0]",
    "repeat": "list(itertools.repeat(1, len(secret)))[0]",
    "range": "list(range(len(secret)))[0]",
    "namedtuple": "collections.namedtuple('P', 'x')(secret).x",
}


def _machine(expression: str, data: object = "abcdef") -> Machine:
    machine = start(f"{IMPORTS}final_return_value = (\n{expression}\n)", secret="")
    label(machine, "secret", data)
    return machine


@pytest.mark.parametrize("expression", [*TEXT.values(), *CONTAINERS.values()])
def test_a_result_has_the_label_of_all_it_was_made_from(expression: str) -> None:
    machine = _machine(expression)

    value = finished(machine)

    assert tags(machine, value) == ["secret"]
    assert not machine.env.deep(value).labels.consumers.is_universal


KEPT = {
    "zip": "list(zip([1, secret], [3, 4]))[0]",
    "enumerate": "list(enumerate([1, secret]))[0]",
    "list": "list([1, secret])[0]",
    "tuple": "tuple([1, secret])[0]",
    "reversed": "list(reversed([secret, 1]))[0]",
    "append": "(lambda a: (a.append(secret), a[0])[1])([1])",
    "extend": "(lambda a: (a.extend([secret]), a[0])[1])([1])",
    "pop": "[secret, 1].pop()",
    "copy": "[1, secret].copy()[0]",
    "get": "{'a': 1, 'b': secret}.get('a')",
    "pop a key": "{'a': 1, 'b': secret}.pop('a')",
    "setdefault": "{'a': 1, 'b': secret}.setdefault('a')",
    "update": "(lambda d: (d.update(b=secret), d['a'])[1])({'a': 1})",
    "dict": "dict(a=1, b=secret)['a']",
    "items": "list({'a': 1, 'b': secret}.items())[0]",
    "values": "list({'a': 1, 'b': secret}.values())[0]",
    "keys": "list({'a': 1, 'b': secret}.keys())",
    "deque": "collections.deque([1, secret]).popleft()",
    "product": "list(itertools.product([1], [2]))[0] if True else secret",
    "chain": "list(itertools.chain([1], [secret]))[0]",
    "combinations": "list(itertools.combinations([1, 2, secret], 2))[0]",
    "choice of others": "random.random()",
}


@pytest.mark.parametrize("expression", KEPT.values(), ids=KEPT.keys())
def test_an_element_keeps_its_own_label_in_structural_functions(expression: str) -> None:
    machine = _machine(expression)

    assert tags(machine, finished(machine)) == []


def test_an_exception_derives_from_what_caused_it() -> None:
    machine = start(
        "try:\n    x = {'a': 1}.pop(secret)\n"
        "except KeyError as e:\n    final_return_value = str(e)",
        secret="",
    )
    label(machine, "secret", "b")

    value = finished(machine)

    assert host_data(machine, value) == "'b'"
    assert tags(machine, value) == ["secret"]


def test_a_seed_may_not_derive_from_labelled_data() -> None:
    machine = start(
        "import random\ntry:\n    random.seed(secret)\nexcept ValueError:\n"
        "    final_return_value = random.random() < 2",
        secret="",
    )
    label(machine, "secret", 5)

    assert tags(machine, finished(machine)) == []


def test_how_many_numbers_were_drawn_does_not_show_in_later_ones() -> None:
    program = (
        "import random\nx = random.choices([1, 2], k=secret)\nfinal_return_value = random.random()"
    )
    found = []
    for count in (1, 5):
        machine = start(program, secret=0)
        label(machine, "secret", count)
        value = finished(machine)
        found.append(host_data(machine, value))
        assert tags(machine, value) == []

    assert found[0] == found[1]
