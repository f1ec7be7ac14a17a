"""Exact arithmetic: a parser of its own over decimals, never the language's evaluator."""

import decimal
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_DIGITS: Final = 34
_GUARD: Final = 20
_CONTEXT: Final = decimal.Context(
    prec=_DIGITS + _GUARD, Emax=9999, Emin=-9999, rounding=decimal.ROUND_HALF_EVEN
)
_SHOWN: Final = decimal.Context(
    prec=_DIGITS, Emax=9999, Emin=-9999, rounding=decimal.ROUND_HALF_EVEN
)
_DEPTH: Final = 100
_TOKEN: Final = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_]\w*)|(\*\*|//|.))")
_PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
_E: Final = Decimal("2.71828182845904523536028747135266249775724709369995957496696763")


def _whole(value: Decimal, what: str, most: int) -> int:
    if value != value.to_integral_value() or not 0 <= value <= most:
        raise ToolFailure("domain_error", f"{what} takes whole numbers from 0 to {most}")
    return int(value)


def _factorial(value: Decimal) -> Decimal:
    result = 1
    for factor in range(2, _whole(value, "factorial", 1000) + 1):
        result *= factor
    return _CONTEXT.create_decimal(result)


def _round(value: Decimal, places: Decimal = Decimal(0)) -> Decimal:
    count = _whole(places, "round", 30)
    return value.quantize(Decimal(1).scaleb(-count), context=_CONTEXT)


def _to_whole(rounding: str) -> Callable[[Decimal], Decimal]:
    return lambda value: value.to_integral_value(rounding=rounding)


def _log(value: Decimal, base: Decimal | None = None) -> Decimal:
    if base is None:
        return _CONTEXT.ln(value)
    return _CONTEXT.divide(_CONTEXT.ln(value), _CONTEXT.ln(base))


def _sine(value: Decimal) -> Decimal:
    if abs(value) > 10**6:
        raise ToolFailure("domain_error", "angles are taken up to 1000000 radians")
    turned = _CONTEXT.remainder(value, 2 * _PI)
    term = total = turned
    square = _CONTEXT.multiply(turned, turned)
    for n in range(1, 60):
        term = _CONTEXT.divide(_CONTEXT.multiply(-term, square), Decimal((2 * n) * (2 * n + 1)))
        total = _CONTEXT.add(total, term)
    return total.quantize(Decimal(1).scaleb(-_DIGITS - 4), context=_CONTEXT)


def _cosine(value: Decimal) -> Decimal:
    return _sine(_CONTEXT.add(value, _PI / 2))


def _tangent(value: Decimal) -> Decimal:
    return _CONTEXT.divide(_sine(value), _cosine(value))


def _mean(*values: Decimal) -> Decimal:
    return _CONTEXT.divide(_sum(*values), Decimal(len(values)))


def _sum(*values: Decimal) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = _CONTEXT.add(total, value)
    return total


_FUNCTIONS: Final[Mapping[str, tuple[Callable[..., Decimal], int, int]]] = {
    "abs": (_CONTEXT.abs, 1, 1),
    "sqrt": (_CONTEXT.sqrt, 1, 1),
    "exp": (_CONTEXT.exp, 1, 1),
    "ln": (_CONTEXT.ln, 1, 1),
    "log": (_log, 1, 2),
    "log10": (_CONTEXT.log10, 1, 1),
    "sin": (_sine, 1, 1),
    "cos": (_cosine, 1, 1),
    "tan": (_tangent, 1, 1),
    "floor": (_to_whole(decimal.ROUND_FLOOR), 1, 1),
    "ceil": (_to_whole(decimal.ROUND_CEILING), 1, 1),
    "trunc": (_to_whole(decimal.ROUND_DOWN), 1, 1),
    "round": (_round, 1, 2),
    "factorial": (_factorial, 1, 1),
    "min": (min, 1, 100),
    "max": (max, 1, 100),
    "sum": (_sum, 1, 100),
    "avg": (_mean, 1, 100),
}
_CONSTANTS: Final = {"pi": _PI, "e": _E}


class _Parser:
    """Recursive descent: sum, product, sign, power, operand."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Decimal:
        """The value of the whole text."""
        value = self._sum()
        if self._peek():
            raise ToolFailure("syntax_error", f"unexpected `{self._peek()[:20]}`")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _sum(self) -> Decimal:
        self._depth += 1
        if self._depth > _DEPTH:
            raise ToolFailure("too_complex", f"more than {_DEPTH} levels of parentheses")
        value = self._product()
        while self._peek() in {"+", "-"}:
            add = self._next() == "+"
            other = self._product()
            value = _CONTEXT.add(value, other) if add else _CONTEXT.subtract(value, other)
        self._depth -= 1
        return value

    def _product(self) -> Decimal:
        value = self._sign()
        while self._peek() in {"*", "/", "%", "//"}:
            operator = self._next()
            other = self._sign()
            if operator == "*":
                value = _CONTEXT.multiply(value, other)
            elif other == 0:
                raise ToolFailure("division_by_zero", "division by zero")
            elif operator == "/":
                value = _CONTEXT.divide(value, other)
            else:
                floor = _CONTEXT.divide(value, other).to_integral_value(decimal.ROUND_FLOOR)
                rest = _CONTEXT.subtract(value, _CONTEXT.multiply(other, floor))
                value = floor if operator == "//" else rest
        return value

    def _sign(self) -> Decimal:
        minus = False
        while self._peek() in {"+", "-"}:
            minus ^= self._next() == "-"
        value = self._power()
        return -value if minus else value

    def _power(self) -> Decimal:
        value = self._operand()
        if self._peek() not in {"**", "^"}:
            return value
        self._next()
        self._depth += 1
        if self._depth > _DEPTH:
            raise ToolFailure("too_complex", f"more than {_DEPTH} powers in a row")
        exponent = self._sign()
        self._depth -= 1
        if value == 0 and exponent < 0:
            raise ToolFailure("division_by_zero", "division by zero")
        return _CONTEXT.power(value, exponent)

    def _operand(self) -> Decimal:
        lexeme = self._next()
        if lexeme == "(":
            value = self._sum()
            self._expect(")")
            return value
        if lexeme[:1].isdigit() or lexeme[:1] == ".":
            return _CONTEXT.create_decimal(lexeme)
        name = lexeme.lower()
        if name in _CONSTANTS and self._peek() != "(":
            return _CONSTANTS[name]
        if name in _FUNCTIONS:
            return self._call(name)
        what = f"unexpected `{lexeme[:20]}`" if lexeme else "the expression ends too early"
        raise ToolFailure("syntax_error", what)

    def _call(self, name: str) -> Decimal:
        function, least, most = _FUNCTIONS[name]
        self._expect("(")
        given: list[Decimal] = []
        if self._peek() != ")":
            given.append(self._sum())
            while self._peek() == ",":
                self._next()
                given.append(self._sum())
        self._expect(")")
        if not least <= len(given) <= most:
            raise ToolFailure("syntax_error", f"`{name}` takes {least} to {most} arguments")
        return function(*given)

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise ToolFailure("syntax_error", f"`{token}` is missing")


def _tokens(text: str) -> Sequence[str]:
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ToolFailure("syntax_error", f"unexpected `{text[at]}`")
        found.append(match.group(1) or match.group(2) or match.group(3))
        at = match.end()
    return found


def _shown(value: Decimal) -> str:
    value = _SHOWN.plus(value)
    if value == 0:
        return "0"
    value = value.normalize(_SHOWN)
    if -12 <= value.adjusted() < _DIGITS:
        return format(value, "f")
    return str(value).replace("E", "e")


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    with decimal.localcontext(_CONTEXT):
        try:
            return {"result": _shown(_Parser(arguments["expression"]).whole())}
        except decimal.Overflow:
            raise ToolFailure("too_large", "the result is too large") from None
        except decimal.DivisionByZero:
            raise ToolFailure("division_by_zero", "division by zero") from None
        except decimal.InvalidOperation:
            raise ToolFailure("domain_error", "the result is not a real number") from None


TOOL = Tool(
    name="math_evaluate",
    title="Calculator",
    description="Evaluate an arithmetic expression exactly, in decimal numbers: + - * / // % ** "
    "( ), sqrt, exp, ln, log, log10, sin, cos, tan, abs, floor, ceil, trunc, round, factorial, "
    "min, max, sum, avg, pi, e.",
    category="math",
    input_schema=schema(expression={"type": "string", "minLength": 1, "maxLength": 1000}),
    output_schema=schema(result={"type": "string"}),
    examples=(
        Example(arguments={"expression": "0.1+0.2"}, output={"result": "0.3"}),
        Example(arguments={"expression": "-2**2"}, output={"result": "-4"}),
        Example(arguments={"expression": "7 % -3"}, output={"result": "-2"}),
        Example(
            arguments={"expression": "sqrt(2)"},
            output={"result": "1.414213562373095048801688724209698"},
        ),
        Example(arguments={"expression": "round(sin(pi/6), 10)"}, output={"result": "0.5"}),
        Example(arguments={"expression": "2**200 / 2**199"}, output={"result": "2"}),
    ),
    run=_run,
)
