"""Declared classes do what pydantic, enum and dataclasses do."""

from typing import Any

import pytest
from tests.support.differential import theirs
from tests.support.programs import answers, begin, error_of, finish, tagged, tool, value_of

from interlock.dual.events import Finished

MODELS = """
from pydantic import BaseModel, Field
from enum import Enum, IntEnum, auto
from typing import Optional, List, Dict, Literal, Union, Any, Tuple
from dataclasses import dataclass, field, asdict, replace
from datetime import datetime, date
class Color(str, Enum):
    RED = "red"
    BLUE = "blue"
class Level(IntEnum):
    LOW = 1
    HIGH = 2
class Item(BaseModel):
    name: str
    qty: int = Field(default=1, ge=1, le=10, description="how many")
class Order(BaseModel):
    id: int
    items: List[Item] = Field(default_factory=list)
    color: Optional[Color] = None
    kind: Literal["a", "b"] = "a"
    prices: Dict[str, float] = {}
    pair: Tuple[int, str] = (1, "x")
    either: Union[int, str] = 0
    maybe: int | None = None
    anything: Any = None
    tags: list[str] = Field(default_factory=list, max_length=3)
@dataclass
class Point:
    x: int
    y: int = 2
    path: list = field(default_factory=list)
@dataclass(frozen=True)
class Fixed:
    a: int
"""

SAME = [
    "Order(id=1).model_dump()",
    "Order(id='7', items=[{'name': 'n'}], color='red', prices={'a': 1}).model_dump()['items']",
    "Order.model_validate({'id': 2.0, 'either': 'x', 'maybe': 3}).model_dump()['either']",
    "Order(id=1, items=[Item(name='z', qty=4)]).items[0].qty",
    "Item.model_json_schema()",
    "Color.RED.value, Color.RED.name, Color('blue').name, Color['RED'].value",
    "Color.RED == 'red', Color.RED in ['red'], 'x' + Color.RED",
    "Level.LOW < Level.HIGH, Level.HIGH + 1, [m.name for m in Level], len(Level)",
    "isinstance(Level.LOW, int), isinstance(Color.RED, str), isinstance(Order(id=1), BaseModel)",
    "asdict(Point(1)), Point(1, 3) == Point(1, 3), Point(1) == Point(2), repr(Point(1))",
    "replace(Point(1), y=9).y",
    "{Fixed(1): 'a'}[Fixed(1)]",
    "repr(Item(name='q')), str(Item(name='q'))",
    "Item(name='a') == Item(name='a'), Item(name='a') == Item(name='b')",
    'Order.model_validate_json(\'{"id": 5, "tags": ["x"]}\').tags',
    "Order(id=1).model_dump(exclude_none=True, include={'id', 'color'})",
    "Item(name='a').model_copy(update={'qty': 5}).qty",
    "Item(name='a').model_dump_json()",
]

WRONG = [
    "Order()",
    "Order(id='x')",
    "Item(name='a', qty=0)",
    "Item(name='a', qty=11)",
    "Item(name=5)",
    "Order(id=1, kind='c')",
    "Order(id=1, color='green')",
    "Order(id=1, items=[{}, {'name': 3}])",
    "Order(id=1, tags=['a', 'b', 'c', 'd'])",
    "Order(id=1.5)",
    "Order.model_validate([1])",
    "Color('green')",
    "Point()",
    "Point(1, 2, 3, 4)",
    "Point(1, z=2)",
    "Item('a')",
]


@pytest.mark.parametrize("expression", SAME)
def test_declared_classes_do_what_the_libraries_do(expression: str) -> None:
    source = f"{MODELS}\nfinal_return_value = {expression}"
    kind, expected = theirs(source)
    assert kind == "value", expected

    assert value_of(source) == _plain(expected)


def _plain(data: Any) -> Any:
    if isinstance(data, tuple | list):
        return [_plain(item) for item in data]
    if isinstance(data, dict):
        return {key: _plain(item) for key, item in data.items()}
    return getattr(data, "value", data)


@pytest.mark.parametrize("expression", WRONG)
def test_what_the_libraries_refuse_is_refused_with_the_same_exception(expression: str) -> None:
    source = f"{MODELS}\nfinal_return_value = {expression}"
    kind, expected = theirs(source)
    assert kind == "raised", expected

    assert error_of(source)[:2] == ("exception", expected[0])


@pytest.mark.parametrize(
    "declaration",
    [
        "class M(BaseModel):\n    a: int\n    b: Optional[str] = None\n    c: list[int] = []",
        "class M(BaseModel):\n    e: Literal['x', 'y']\n    d: Dict[str, float]\n"
        "    t: bool = True",
        "class M(BaseModel):\n    i: Item\n    many: List[Item]",
        "class M(BaseModel):\n    s: str = Field(min_length=2, pattern='a+')\n"
        "    n: float = Field(gt=0)",
        "class M(BaseModel):\n    u: Union[int, str, None] = None\n    a: Any = None",
        "class M(BaseModel):\n    when: datetime\n    day: date",
    ],
)
def test_schemas_of_models_are_those_of_pydantic(declaration: str) -> None:
    source = f"{MODELS}\n{declaration}\nfinal_return_value = M.model_json_schema()"
    kind, expected = theirs(source)
    assert kind == "value", expected

    assert value_of(source) == expected


def test_a_model_refers_to_itself() -> None:
    source = (
        "from pydantic import BaseModel\nfrom typing import Optional\n"
        "class Node(BaseModel):\n    value: int\n    next: Optional['Node'] = None\n"
        "n = Node.model_validate({'value': 1, 'next': {'value': '2'}})\n"
        "final_return_value = n.next.value"
    )

    assert value_of(source) == 2


def test_fields_of_a_model_keep_labels_of_their_own() -> None:
    source = (
        "from pydantic import BaseModel\nclass M(BaseModel):\n    a: int\n    b: str\n"
        "m = M(a=read(1), b='x')\na = m.a\nb = m.b\n"
        "d = m.model_dump()['b']\nj = m.model_dump_json()"
    )
    machine = begin(source, tools=(tool("read", "id"),))
    event, _ = finish(machine, answers(read=("3", tagged("t"))))
    assert isinstance(event, Finished)
    marks = {
        name: machine.env.deep(v).labels.tags.contains("t")
        for name, v in machine.namespace().items()
    }

    assert marks == {"m": True, "a": True, "b": False, "d": False, "j": True}


def test_an_exception_of_ones_own_is_caught_by_its_base() -> None:
    source = (
        "class Bad(ValueError):\n    pass\ntry:\n    raise Bad('x')\n"
        "except ValueError as e:\n    final_return_value = (str(e), type(e).__name__)"
    ).replace("type(e).__name__", "isinstance(e, Bad)")

    assert value_of(source) == ["x", True]
