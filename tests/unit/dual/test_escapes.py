"""Ways out of Python sandboxes: each is a clear error here, and none reaches the host."""

import pytest
from tests.support.programs import begin, finish, value_of

from interlock.dual.errors import ProgramError
from interlock.dual.events import Stopped

REFUSED = {
    "a module that is not offered": "import os",
    "sys": "import sys\nsys.modules",
    "a submodule": "import os.path",
    "subprocess": "from subprocess import run",
    "importlib": "import importlib\nimportlib.import_module('os')",
    "builtins": "import builtins",
    "ctypes": "import ctypes",
    "pickle": "import pickle",
    "operator's attrgetter": "import operator",
    "the classic walk to object": "().__class__.__bases__[0].__subclasses__()",
    "through a string": "''.__class__.__mro__",
    "through a function's globals": "(lambda: 0).__globals__",
    "through a function's code": "f = lambda: 0\nf.__code__ = 1",
    "a dunder as a keyword": "dict(__class__=1)",
    "a dunder as a parameter": "def f(__x): return 1",
    "a dunder as a variable": "__x = 1",
    "a dunder as a pattern": "match 1:\n    case int(__class__=x): pass",
    "a dunder captured": "match 1:\n    case __x: pass",
    "a dunder by import": "import json as __json",
    "a dunder from import": "from json import __builtins__",
    "a dunder as a class": "class __X: pass",
    "a dunder in an exception handler": "try:\n    pass\nexcept Exception as __e:\n    pass",
    "a traceback's frame": "try:\n    1/0\nexcept Exception as e:\n    e.__traceback__.tb_frame",
    "a context": "try:\n    1/0\nexcept Exception as e:\n    e.__context__",
    "the builtins": "__builtins__",
    "the import function": "__import__('os')",
    "the loader": "__loader__",
    "the spec": "__spec__",
    "eval": "eval('1')",
    "exec": "exec('1')",
    "compile": "compile('1', '', 'eval')",
    "open": "open('/etc/passwd')",
    "globals": "globals()",
    "locals": "locals()",
    "vars": "vars()",
    "dir": "dir()",
    "setattr": "setattr(1, 'x', 2)",
    "delattr": "delattr(1, 'x')",
    "input": "input()",
    "breakpoint": "breakpoint()",
    "super": "super()",
    "object": "object()",
    "property": "property(lambda s: 1)",
    "classmethod": "classmethod(lambda s: 1)",
    "memoryview": "memoryview(b'')",
    "help": "help()",
    "decorators": "@print\ndef f(): pass",
    "a class decorator": "@print\nclass X: pass",
    "an evaluated decorator": "@(lambda c: c)\nclass X: pass",
    "a metaclass": "class X(metaclass=type): pass",
    "a class with methods": "class X:\n    def f(self): pass",
    "a class that computes": "class X:\n    for i in range(3): pass",
    "a class that imports": "class X:\n    import os",
    "a nested class": "from pydantic import BaseModel\nclass X(BaseModel):\n    class Config: pass",
    "a star import": "from json import *",
    "a relative import": "from . import x",
    "async functions": "async def f(): pass",
    "await": "await x",
    "generator functions": "def f():\n    yield 1",
    "yield from": "def f():\n    yield from [1]",
    "with": "with open('x') as f: pass",
    "async comprehensions": "async def f(): return [x async for x in y]",
    "the matrix operator": "a = 1\na @ a",
    "complex numbers": "1j",
    "a private attribute": "import json\njson._default_decoder",
    "a private attribute of a string": "''._x",
    "an unknown name": "unknown_thing()",
    "deleting a call": "del f()",
    "a tuple slice": "x = [1]\nx[1:2, 3]",
    "an attribute deleted": "import json\ndel json.loads",
}

RAISED = {
    "getattr of a dunder": "getattr('', '__class__')",
    "getattr of a built dunder": "getattr('', '_' + '_class_' + '_')",
    "getattr of a private name": "getattr('', '_x', 1)",
    "hasattr of a dunder": "hasattr('', '__class__')",
    "a format string's attribute": "'{0.__class__}'.format('')",
    "a format string's nested attribute": "'{0.__class__.__mro__[1]}'.format(1)",
    "a format string's keyword attribute": "'{x.__init__.__globals__}'.format(x=1)",
    "format_map": "'{x.__class__}'.format_map({'x': 1})",
    "a format spec that looks up": "'{0:{1.__class__}}'.format(1, 2)",
    "format of a model's dunder": (
        "from pydantic import BaseModel\nclass M(BaseModel):\n    x: int = 1\n"
        "'{0.__class__}'.format(M())"
    ),
    "percent formatting of an attribute": "'%(__class__)s' % {}",
    "type with three arguments": "type('X', (), {})",
    "type of a type, called": "type(type(1))('X', (), {})",
    "the frame of a generator": "(x for x in [1]).gi_frame",
    "the code of a generator": "(x for x in [1]).gi_code",
    "the frame of a coroutine": "(x for x in [1]).cr_frame",
    "a generator sent to": "(x for x in [1]).send(None)",
    "a generator thrown into": "(x for x in [1]).throw(ValueError)",
    "a function's attribute": "(lambda: 0).func_globals",
    "an exception's with_traceback": "Exception().with_traceback(None)",
    "a module's own imports": "import json\njson.codecs",
    "random's system source": "import random\nrandom.SystemRandom()",
    "re's compiler": "import re\nre.sre_compile",
    "typing's evaluator": "import typing\ntyping.get_type_hints(1)",
    "string's Formatter": "import string\nstring.Formatter().get_field('0.x', (1,), {})",
    "functools' wraps": "import functools\nfunctools.wraps(1)",
    "assignment to a module": "import json\njson.loads = 1",
    "assignment to a function": "def f(): pass\nf.x = 1",
    "assignment to a string": "x = ''\nx.y = 1",
    "assignment to a type": "int.x = 1",
    "assignment to an enum member": (
        "from enum import Enum\nclass C(Enum):\n    A = 1\nC.A.value = 2"
    ),
    "a class of an ordinary base": "class X(int): pass",
    "a class without a base": "class X: pass",
    "a class of a function": "class X(print): pass",
    "match args": "match [1]:\n    case list(1, 2): pass",
    "a class pattern of a function": "match 1:\n    case print(): pass",
    "calling a number": "(1)()",
    "calling a module": "import json\njson()",
    "a default that escapes": "def f(x=(lambda: getattr((), '__class__'))()): return x",
    "an unpacked keyword that is a dunder": "(lambda **k: k['__x'])(**{'__y': 1})",
    "str with an encoding": "str(b'x', 'rot13')",
    "bytes decoding by name": "b'x'.decode('unicode_escape_nope')",
    "encoding through a codec": "'x'.encode('zlib')",
}

HARMLESS = {
    "a deleted built-in comes back": "len = 1\ndel len\nfinal_return_value = len([1])",
    "a shadowed built-in": "print = 3\nfinal_return_value = print",
    "the module's name": "final_return_value = __name__",
    "the repr of a function": "final_return_value = repr(lambda: 0)",
    "the repr of a built-in": "final_return_value = repr(len) + str(int)",
    "the repr of a module": "import json\nfinal_return_value = str(json)",
    "the repr of a generator": "final_return_value = str((x for x in [1]))",
    "the repr of a bound method": "final_return_value = str('a'.upper)",
    "a lambda's default": "f = lambda x=[]: x\nf().append(1)\nfinal_return_value = f()",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_known_way_out_does_not_compile(name: str) -> None:
    with pytest.raises(ProgramError) as caught:
        begin(REFUSED[name])

    assert caught.value.text


@pytest.mark.parametrize("name", RAISED)
def test_a_known_way_out_raises_an_exception_of_the_program(name: str) -> None:
    event, _ = finish(begin(RAISED[name]))

    assert isinstance(event, Stopped), event
    assert event.error.kind == "exception"
    assert event.error.type_name != "RuntimeError"
    assert event.error.message


@pytest.mark.parametrize("name", HARMLESS)
def test_what_looks_like_a_way_out_shows_nothing_of_the_host(name: str) -> None:
    shown = str(value_of(HARMLESS[name]))

    assert "interlock" not in shown
    assert "0x" not in shown


def test_every_way_out_is_also_an_error_inside_a_function() -> None:
    for source in RAISED.values():
        body = "\n".join(f"    {line}" for line in source.splitlines())
        event, _ = finish(begin(f"def attempt():\n{body}\nattempt()"))

        assert isinstance(event, Stopped), source
