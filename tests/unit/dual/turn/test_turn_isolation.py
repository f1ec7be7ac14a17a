"""No byte from outside ever reaches a model that plans (gateway.md 10.1, architecture.md 9).

Markers stand in everything an attacker can write: tool results, their keys, errors of tools,
answers of the quarantined model, messages of exceptions raised from any of it, reasons for
denials, errors of the policy compiler. Programs do with them what programs can do. Then every
question to every trusted role is searched.
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.turns import Denied, Play, fenced, tool
from tests.support.turns import given as starts

from interlock.dual.turn import (
    AnswerFormat,
    ContextVar,
    DualConfig,
    Fsm,
    PlannerPrompt,
    Prompts,
    Question,
    ReviewPrompt,
    Turn,
)
from interlock.policy.model import Labels

MARK = "ZQX"
UNTRUSTED = {"qllm", "error_detector_llm"}
RESULT = json.dumps(
    {
        f"key{MARK}": f"value{MARK}",
        "word": f"{MARK}word",
        "items": [f"a{MARK}", {"deep": f"b{MARK}"}],
        "number": 3,
    }
)
HEAD = """
doc = get_doc(id='1')
w = doc['word']
"""
ANSWER = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}

HIDDEN = Labels.of(tags=["__non_executable"])

STATEMENTS = [
    "raise ValueError(doc)",
    "raise ValueError(f'<{w}>')",
    "raise RuntimeError('clean text') if 'Z' in w else ValueError('x')",
    "raise KeyError(w)",
    "doc[w]",
    "{}[w]",
    "[1][len(w) + 10]",
    "int(w)",
    "float(w)",
    "w.index('nothing' + w)",
    "getattr(doc, w)",
    "getattr(w, w.lower())",
    "assert not w, w",
    "assert False, doc",
    "format(1, w)",
    "f'{1:{w}}'",
    "'%d' % w",
    "w + 1",
    "doc + w",
    "[] < w",
    "w()",
    "for x in 1 if w else []: pass",
    "a, b, c = w, w",
    "a, b = w.split('Q')[0] * 9",
    "raise w",
    "raise ValueError(w) from KeyError(w)",
    "int('1' * len(w), w)",
    "del doc[w + w]",
    "get_doc(**{w: 1})",
    "get_doc(w, w)",
    "get_doc(id=set())",
    "broken(id=w)",
    "broken(id='clean')",
    "import json\njson.loads(w)",
    "import json\njson.dumps({w: set()})",
    "import re\nre.compile('(' + w)",
    "import re\nre.sub('Q', lambda m: 1 / 0, w)",
    "import datetime\ndatetime.datetime.strptime(w, '%Y')",
    "import datetime\ndatetime.date.fromisoformat(w)",
    "import datetime\ndatetime.date(2026, len(w) * 9, 1)",
    "import math\nmath.sqrt(w)",
    "import math\nmath.factorial(-len(w))",
    "import random\nrandom.choice([][:len(w)])",
    "import collections\nP = collections.namedtuple(w, w)\nP(1)\nraise ValueError(P)",
    "import collections\nP = collections.namedtuple(w, 'a')\np = P(1)\np.b",
    "import collections\nP = collections.namedtuple('P', [w])\nP()",
    "from enum import Enum\nclass E(Enum):\n    A = doc['word']\nE(w + w)",
    "from enum import Enum\nclass E(Enum):\n    A = 1\nE[w]",
    "from pydantic import BaseModel\nclass M(BaseModel):\n    n: int\nM(n=w)",
    "from pydantic import BaseModel\nclass M(BaseModel):\n    n: int\nM.model_validate({w: 1})",
    "from pydantic import BaseModel\nclass M(BaseModel):\n    n: int\nM(**{w: 1, 'n': 2}).nothing",
    "import string\nstring.Template(w).substitute()",
    "def inner(x, y=w):\n    raise ValueError(y)\ninner(w)",
    "(lambda x: x[w])({})",
    "sorted([w, 1])",
    "max([], key=lambda x: w)",
    "next(iter([w][1:]))",
    "'x' * 10 ** 9 + w",
    "while True: w = w + w",
    "def f(n): return f(n + 1)\nf(w.count('Z'))",
    "2 ** (10 ** len(w))",
    "try:\n    int(w)\nexcept ValueError as e:\n    raise TypeError(str(e))",
    "try:\n    int(w)\nexcept ValueError as e:\n    raise",
    "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError(w)",
    "try:\n    broken(id='1')\nexcept Exception as e:\n    raise ValueError(e)",
    "try:\n    broken(id='1')\nexcept Exception as e:\n    kept = str(e)",
    f"x = parse_with_ai(query=w, output_schema={ANSWER})\nraise ValueError(x['name'])",
    f"x = parse_with_ai(query=w, output_schema={ANSWER})\n{{}}[x['name']]",
    f"x = parse_with_ai(query='clean', output_schema={ANSWER})\nraise ValueError(x)",
    "parse_with_ai(query=w, output_schema={'type': w})",
    "parse_with_ai(query=w, output_schema={'properties': {w: {'type': w, 'required': [w]}}})",
    "parse_with_ai(query='bad', output_schema={})",
    "v = verify_hypothesis(hypothesis=w, context=doc)\nassert not v, w",
    "set_policy(code=w)",
    "set_policy(code='clean')",
    "send(to=w)",
    "send(to='clean')",
    "if w.startswith('Z'):\n    send(to='clean')",
    "exit(w)",
    "print(w)",
    "match doc:\n    case {'word': x}:\n        raise ValueError(x)",
    "vars_of_w = {k: v for k, v in doc.items()}\nvars_of_w['no']",
    "x: w = 1\nraise ValueError(x, w)",
    "raise ValueError(type(doc), w)",
    "final_return_value = doc",
    "return_it = w\nfinal_return_value = [return_it, doc]",
    "complete_turn(value=w)",
    "# in_progress\nkept = [w, doc]",
    "raise ValueError(list(map(lambda x: str(x), doc.items())))",
    "raise ValueError(start)",
    "{}[start['s']]",
]


def play(statements: list[str], config: DualConfig, *, denies: bool, turns: int = 1) -> list[Play]:
    """Plays turns with these programs, one after the other in one conversation."""
    plans = [fenced(f"{HEAD}{one}") for one in statements]
    plays: list[Play] = []
    messages: tuple[Any, ...] = ()
    history: tuple[Any, ...] = ()
    for number in range(turns):
        given_ = starts(
            f"Request {number}.",
            *(tool(name, "id") for name in ("get_doc", "broken")),
            tool("send", "to"),
            config=config,
            messages=messages,
            planner_history=history,
            context_vars={"start": ContextVar(value={"s": f"{MARK}start"}, labels=HIDDEN)},
        )
        one = Play(
            given_,
            models={
                "pllm": plans,
                "qllm": quarantined,
                "rllm": ['{"accept": false, "advice": "Do it again."}', '{"accept": true}'],
                "grllm": ['{"points": [{"problem": "other", "tool": "none", "line": 0}]}'],
                "selector": ['{"choice": 0}'],
                "tllm": ['{"tools": ["get_doc", "broken", "send"]}'],
                "error_detector_llm": ['{"is_error": false}'],
            },
            tools={
                "get_doc": RESULT,
                "broken": (f"Error: {MARK}broken", True),
                "send": f"sent {MARK}",
            },
            decide=lambda call: (
                Denied(f"denied: {dict(call.args)!r} {MARK}")
                if denies and call.tool == "send"
                else None
            ),
            restrict=lambda asked: f"line 1: unknown `{asked.code}` {MARK}",
            reload=number == 0,
        )
        answer = one.run()
        assert answer is not None
        plays.append(one)
        ids = {call.no: f"tc-{number}-{call.no}" for call in one.sent}
        messages = (*messages, *one.turn.record(ids, AnswerFormat()))
        history = one.turn.planner_history
    return plays


def quarantined(question: Question) -> str:
    if question.messages[0].text == "bad":
        return f"no json {MARK}"
    schema = question.schema or {}
    if "holds" in schema.get("properties", {}):
        return '{"holds": true}'
    return json.dumps({"name": f"{MARK}name", "have_enough_info": True})


def leaks(plays: list[Play]) -> list[str]:
    """The trusted questions that hold a marker, in any case."""
    return [
        f"{one.role}: {text}"
        for each in plays
        for one in each.questions
        if one.role not in UNTRUSTED
        for text in (one.system, json.dumps(one.schema), *(m.text for m in one.messages))
        if MARK.casefold() in text.casefold()
    ]


def configured(
    *,
    level: Any = "normal",
    visibility: Any = "none",
    multistep: bool = False,
    plans: int = 1,
    pruning: bool = True,
    wrap: bool = False,
    args: bool = False,
    strict: bool = False,
) -> DualConfig:
    return DualConfig(
        fsm=Fsm(
            enabled_internal_tools=(
                "parse_with_ai",
                "verify_hypothesis",
                "set_policy",
                "complete_turn",
            ),
            enable_multistep_planning=multistep,
            disable_rllm=False,
            retry_on_policy_violation=True,
            min_num_tools_for_filtering=2,
            n_pllm_plans=plans,
            pllm_context_pruning=pruning,
            prune_failed_steps=False,
            wrap_tool_result=wrap,
            detect_tool_errors="llm",
            max_pllm_steps=3,
        ),
        prompt=Prompts(
            pllm=PlannerPrompt(
                debug_info_level=level,
                context_var_visibility=visibility,
                query_include_tool_args=args,
            ),
            rllm=ReviewPrompt(debug_info_level=level),
        ),
        max_steps=20_000,
        max_bytes=1 << 20,
        strict=strict,
    )


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("multistep", [False, True])
def test_nothing_from_outside_is_planned_with(statement: str, multistep: bool) -> None:
    for level in ("minimal", "extra"):
        config = configured(level=level, multistep=multistep, args=True, visibility="none")

        assert leaks(play([statement], config, denies=True, turns=2)) == []


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(
    statements=st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=3),
    config=st.builds(
        configured,
        level=st.sampled_from(["minimal", "normal", "extra"]),
        visibility=st.sampled_from(["none", "basic-notext"]),
        multistep=st.booleans(),
        plans=st.integers(1, 3),
        pruning=st.booleans(),
        wrap=st.booleans(),
        args=st.booleans(),
        strict=st.booleans(),
    ),
    denies=st.booleans(),
    turns=st.integers(1, 2),
)
def test_no_sequence_of_programs_lets_anything_through(
    statements: list[str], config: DualConfig, denies: bool, turns: int
) -> None:
    assert leaks(play(statements, config, denies=denies, turns=turns)) == []


TEXT = st.sampled_from(["w", "doc['word']", "str(doc)", "repr(doc)", "list(doc)[0]", "'clean'"])
WRAPS = [
    "({0}).upper()",
    "({0})[::-1][::-1]",
    "({0})[:2] + ({1})",
    "f'{{{0}!r:>20}}'",
    "'{{}}-{{}}'.format({0}, {1})",
    "'%s' % ({0})",
    "'-'.join([{0}, {1}])",
    "''.join(c for c in {0})",
    "''.join(map(str, [{0}, {1}]))",
    "({0}).replace('a', {1})",
    "max([{0}, {1}], key=len)",
    "sorted([{0}, {1}])[-1]",
    "{{{0}: {1}}}.popitem()[1]",
    "dict(a={0}).get('a', {1})",
    "[x for x in [{0}] if x][0]",
    "({0}) if ({1}) else ({0})",
    "({0}) or ({1})",
    "str(({0}, {1}))",
    "next(iter([{0}]))",
    "(lambda x, *y: x)({0}, {1})",
    "json.loads(json.dumps([{0}]))[0]",
    "re.sub('q', 'q', {0})",
    "str({{*[{0}], {1}}})",
    "functools.reduce(lambda a, b: a + b, [{0}, {1}])",
    "dict(zip([{0}], [{1}])).popitem()[0]",
    "({0}).split('~')[0]",
    "(lambda *a, **k: k['z'])(z={0})",
    "[*[{0}], {1}][0]",
    "str(enumerate([{0}])) + {1}",
    "list(enumerate([{0}]))[0][1]",
]
SINKS = [
    "raise ValueError({0})",
    "raise KeyError({0}, 1)",
    "{{}}[{0}]",
    "assert not [{0}], {0}",
    "int({0} + 'x')",
    "getattr([], {0})",
    "json.loads('[' + {0})",
    "[].index({0})",
    "def f():\n    raise TypeError({0})\nf()",
    "x = {0}\nx()",
    "send(to={0})",
    "class E(Exception): pass\nraise E({0})",
    "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError({0}) from e",
    "for c in [{0}]:\n    if c: raise ValueError(c)",
    "x = [{0}]\nx[0], y = x\nz = y",
    "del {{'a': 1}}[{0}]",
    "parse_with_ai(query=1, output_schema={{'type': {0}}})",
]
EXPRESSIONS = st.recursive(
    TEXT,
    lambda inner: st.builds(
        lambda wrap, a, b: wrap.format(a, b), st.sampled_from(WRAPS), inner, inner
    ),
    max_leaves=5,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(
    expression=EXPRESSIONS,
    sink=st.sampled_from(SINKS),
    level=st.sampled_from(["normal", "extra"]),
    multistep=st.booleans(),
)
def test_no_way_of_making_text_launders_it(
    expression: str, sink: str, level: str, multistep: bool
) -> None:
    statement = f"import json, re, functools\n{sink.format(expression)}"
    config = configured(level=level, multistep=multistep)

    assert leaks(play([statement], config, denies=True)) == []


@pytest.mark.parametrize("visibility", ["basic-executable", "all-executable"])
def test_results_that_are_not_executable_stay_hidden_at_every_level_but_all(
    visibility: Any,
) -> None:
    config = configured(visibility=visibility, multistep=True)

    assert leaks(play(["# in_progress\nkept = [w, doc]"], config, denies=False)) == []


def test_the_search_finds_what_is_there() -> None:
    """The test of the tests: an explicit visibility does show the markers."""
    config = configured(visibility="all", multistep=True)

    assert leaks(play(["# in_progress\nkept = [w, doc]"], config, denies=False)) != []


def test_results_are_inlined_only_when_the_caller_says_so() -> None:
    base = configured()
    prompt = replace(
        base.prompt.pllm,
        query_include_tool_results=True,
        query_inline_roles=frozenset({"assistant", "tool"}),
    )
    config = replace(base, prompt=replace(base.prompt, pllm=prompt))

    assert leaks(play(["final_return_value = doc"], config, denies=False, turns=2)) != []


def test_a_stored_turn_is_as_tight_as_a_fresh_one() -> None:
    config = configured(multistep=True)
    one = play(["# in_progress\nkept = w"], config, denies=False)[0]

    again = Turn.load(one.turn.dump())

    assert MARK not in json.dumps([message.text for message in again.planner_history])
