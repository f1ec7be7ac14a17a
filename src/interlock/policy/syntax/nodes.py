"""The syntax tree: frozen values with places.

Two trees are equal when they differ in places alone. Chains of one operator
are one node with many items, so that the depth of a tree is the depth of its
brackets, which the parser bounds.

`must` is kept as `hard`, `should` as `soft`; `union of F from args`, `@args.F`
and `@args.F.union` are one node, and so are the `matching`/`like` extensions
and the `in {str ...}` they stand for.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

__all__ = [
    "NOWHERE",
    "Alias",
    "And",
    "BoolConst",
    "BoolDomain",
    "CheckRule",
    "Conditional",
    "Declaration",
    "Domain",
    "Element",
    "ElementOps",
    "FieldName",
    "Let",
    "LetValue",
    "Literal_",
    "Member",
    "Meta",
    "Node",
    "Not",
    "NumberDomain",
    "NumberElement",
    "Or",
    "Predicate",
    "PredicateRef",
    "Priority",
    "Program",
    "Range",
    "RegexElement",
    "SetCompare",
    "SetExpr",
    "SetIs",
    "SetLiteral",
    "SetOp",
    "SetRef",
    "Shorthand",
    "Span",
    "Statement",
    "StrDomain",
    "StringElement",
    "Target",
    "TimeDomain",
    "TimeExact",
    "ToolDecl",
    "ToolId",
    "Update",
    "UpdateBlock",
    "Value",
    "ValueEquals",
    "ValueIn",
    "ValueOf",
    "Where",
    "WildcardElement",
]

FieldName = Literal["tags", "producers", "consumers"]
Level = Literal["hard", "soft"]
Outcome = Literal["allow", "deny"]
Where = Literal["result", "before", "after"]
AssignOp = Literal["=", "|=", "&=", "-=", "^="]


class Span(NamedTuple):
    """Where a node stands: offsets into the text, line and column from 1."""

    start: int
    end: int
    line: int
    column: int


NOWHERE = Span(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Node:
    """What every node has: its place."""

    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Range(Node):
    """Numbers between two bounds; None is an open end, equal bounds mean exactly that one."""

    low: int | float | None
    high: int | float | None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class BoolDomain(Node):
    """`bool true`."""

    value: bool


@dataclass(frozen=True, slots=True)
class NumberDomain(Node):
    """`int RANGE` or `float RANGE`."""

    kind: Literal["int", "float"]
    range: Range


@dataclass(frozen=True, slots=True)
class StrDomain(Node):
    """`str "x"`, `str matching r"x"` or `str like w"x"`, optionally with a length."""

    kind: Literal["exact", "matching", "like"]
    text: str
    length: Range | None = None


@dataclass(frozen=True, slots=True)
class TimeDomain(Node):
    """A range of instants, as written."""

    low: str | None
    high: str | None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class TimeExact(Node):
    """One instant: `d"..."`, a plain string, or epoch seconds."""

    kind: Literal["datetime", "string", "epoch"]
    value: str | int | float


Domain = BoolDomain | NumberDomain | StrDomain | TimeDomain | TimeExact


@dataclass(frozen=True, slots=True)
class StringElement(Node):
    """`"x"`; `"*"` in a set literal is every label."""

    text: str


@dataclass(frozen=True, slots=True)
class RegexElement(Node):
    """`r"x"`."""

    text: str


@dataclass(frozen=True, slots=True)
class WildcardElement(Node):
    """`w"x"`."""

    text: str


@dataclass(frozen=True, slots=True)
class NumberElement(Node):
    """A number."""

    value: int | float


Element = StringElement | RegexElement | WildcardElement | NumberElement | Domain


@dataclass(frozen=True, slots=True)
class SetLiteral(Node):
    """`{...}`."""

    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class SetRef(Node):
    """A `let` name where a set stands."""

    name: str


@dataclass(frozen=True, slots=True)
class Meta(Node):
    """Labels of something: an argument, the result, the session, all arguments, the caller."""

    scope: Literal["argument", "result", "session", "bare", "args", "caller"]
    field: str
    name: str = ""
    """The argument, for scope `argument`; `union` or `intersect` for scope `args`."""


@dataclass(frozen=True, slots=True)
class SetOp(Node):
    """A chain of one operator, evaluated from the left."""

    op: Literal["union", "intersect", "minus", "xor"]
    items: tuple["SetExpr", ...]


@dataclass(frozen=True, slots=True)
class ElementOps(Node):
    """`base with e without f ...`, from the left; True is `with`."""

    base: "SetExpr"
    steps: tuple[tuple[bool, Element], ...]


SetExpr = SetLiteral | SetRef | Meta | SetOp | ElementOps


@dataclass(frozen=True, slots=True)
class ValueOf(Node):
    """`NAME.value`, `@result.value`, `@session.value`."""

    scope: Literal["argument", "result", "session"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Literal_(Node):  # noqa: N801 - `Literal` is the typing word
    """A literal value on either side of a comparison."""

    kind: Literal["string", "datetime", "number", "bool"]
    value: str | int | float | bool


Value = ValueOf | Literal_


@dataclass(frozen=True, slots=True)
class BoolConst(Node):
    """`true` or `false` standing for a whole predicate."""

    value: bool


@dataclass(frozen=True, slots=True)
class PredicateRef(Node):
    """A `let` name where a predicate stands."""

    name: str


@dataclass(frozen=True, slots=True)
class ValueIn(Node):
    """`value in set`."""

    value: Value
    within: SetExpr


@dataclass(frozen=True, slots=True)
class ValueEquals(Node):
    """`value == value`."""

    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class SetCompare(Node):
    """`operand overlaps|subset of|superset of|== set`."""

    op: Literal["overlaps", "subset", "superset", "equals"]
    left: Meta
    right: SetExpr


@dataclass(frozen=True, slots=True)
class SetIs(Node):
    """`operand is empty|universal`."""

    what: Literal["empty", "universal"]
    operand: Meta


@dataclass(frozen=True, slots=True)
class Not(Node):
    """`not predicate`."""

    item: "Predicate"


@dataclass(frozen=True, slots=True)
class And(Node):
    """`a and b and ...`."""

    items: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True)
class Or(Node):
    """`a or b or ...`."""

    items: tuple["Predicate", ...]


Comparison = ValueIn | ValueEquals | SetCompare | SetIs
Predicate = BoolConst | PredicateRef | Comparison | Not | And | Or


@dataclass(frozen=True, slots=True)
class Alias(Node):
    """`let a = b;`: what `a` is depends on what `b` is."""

    name: str


LetValue = Predicate | SetExpr | Domain | Alias


@dataclass(frozen=True, slots=True)
class Let(Node):
    """`let NAME = ...;`."""

    name: str
    value: LetValue
    doc: str | None = None


@dataclass(frozen=True, slots=True)
class ToolId(Node):
    """Which tools a declaration is about: one exact name, or a regular expression."""

    text: str
    regex: bool = False


@dataclass(frozen=True, slots=True)
class Target(Node):
    """What an update assigns to."""

    scope: Literal["bare", "result", "session", "argument"]
    field: FieldName
    name: str = ""


@dataclass(frozen=True, slots=True)
class Update(Node):
    """`target op set;`."""

    target: Target
    op: AssignOp
    value: SetExpr
    doc: str | None = None


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`when predicate { updates }`."""

    condition: Predicate
    updates: tuple[Update, ...]
    doc: str | None = None


Statement = Update | Conditional


@dataclass(frozen=True, slots=True)
class Priority(Node):
    """`priority N;`."""

    value: int
    doc: str | None = None


@dataclass(frozen=True, slots=True)
class CheckRule(Node):
    """`must allow when ...;`; condition None means `always`."""

    level: Level
    outcome: Outcome
    condition: Predicate | None
    doc: str | None = None


@dataclass(frozen=True, slots=True)
class UpdateBlock(Node):
    """`result { ... }`, `session before { ... }` or `session after { ... }`."""

    where: Where
    statements: tuple[Statement, ...]
    doc: str | None = None


Member = Priority | CheckRule | UpdateBlock


@dataclass(frozen=True, slots=True)
class ToolDecl(Node):
    """`tool ID { members }`."""

    id: ToolId
    members: tuple[Member, ...]
    doc: str | None = None


@dataclass(frozen=True, slots=True)
class Shorthand(Node):
    """`tool ID [N] -> where @field op set when predicate;`."""

    id: ToolId
    priority: int | None
    where: Where
    field: FieldName
    op: AssignOp
    value: SetExpr
    condition: Predicate | None = None
    doc: str | None = None


Declaration = Let | ToolDecl | Shorthand


@dataclass(frozen=True, slots=True)
class Program(Node):
    """A whole policy text."""

    declarations: tuple[Declaration, ...]
