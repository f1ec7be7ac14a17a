"""Generates programs of the interpreter's language that CPython runs too.

A `Generator` writes a program from a source of choices; every program ends, uses small numbers
and mentions only built-ins both sides have. Most expressions fit their types; a few do not, so
that errors are compared as well.
"""

from __future__ import annotations

import random

from hypothesis import strategies as st

TYPES = ("int", "float", "str", "bool", "list", "texts", "dict", "tuple", "set", "none")
TEXTS = ("", "a", "Ab c", "x,y,z", "hello world", "  pad ", "é", "10", "a1b22")


class Generator:
    """Writes one program; `choices` may be `random.Random` or a hypothesis random."""

    def __init__(self, choices: random.Random, *, tools: bool = False, size: int = 8) -> None:
        self.choices = choices
        self.tools = tools
        self.size = size
        self.lines: list[str] = []
        self.variables: dict[str, str] = {}
        self.functions: list[tuple[str, int]] = []
        self.depth = 0
        self.in_loop = 0
        self.in_function = False
        self.counter = 0

    def program(self) -> str:
        for _ in range(self.choices.randint(2, self.size)):
            self.statement()
        self.depth = 0
        names = sorted(self.variables)
        shown = ", ".join(f"{name!r}: {name}" for name in names)
        self.emit(f"final_return_value = {{{shown}}}")
        return "\n".join(self.lines) + "\n"

    # helpers

    def pick(self, *options: str) -> str:
        return options[self.choices.randint(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return self.choices.randint(0, 99) < percent

    def emit(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def fresh(self, prefix: str = "v") -> str:
        self.counter += 1
        return f"{prefix}{self.counter}"

    def of_type(self, kind: str) -> list[str]:
        return sorted(name for name, held in self.variables.items() if held == kind)

    # expressions

    def expression(self, kind: str | None = None, level: int = 0) -> str:
        if kind is None or self.chance(2):
            # Never a set in place of something ordered: its order is nobody's business.
            kind = self.pick(*(held for held in TYPES if held != "set"))
        names = self.of_type(kind)
        if names and self.chance(45):
            return self.pick(*names)
        if level > 2:
            return self.literal(kind)
        maker = getattr(self, f"make_{kind}")
        return str(maker(level + 1))

    def literal(self, kind: str) -> str:
        match kind:
            case "int":
                return str(self.choices.randint(-20, 40))
            case "float":
                return self.pick("0.5", "2.0", "-1.25", "3.75", "0.0", "1e3")
            case "str":
                return repr(self.pick(*TEXTS))
            case "bool":
                return self.pick("True", "False")
            case "list":
                return str([self.choices.randint(-5, 9) for _ in range(self.choices.randint(0, 4))])
            case "texts":
                return str([self.pick(*TEXTS) for _ in range(self.choices.randint(0, 3))])
            case "dict":
                keys = [self.pick("a", "b", "c") for _ in range(self.choices.randint(0, 3))]
                return "{" + ", ".join(f"{k!r}: {self.choices.randint(0, 9)}" for k in keys) + "}"
            case "tuple":
                return f"({self.choices.randint(0, 9)}, {self.pick(*TEXTS)!r})"
            case "set":
                return self.pick("set()", "{1, 2}", "{3}", "{1, 5, 7}")
        return "None"

    def make_int(self, level: int) -> str:
        e = self.expression
        form = self.choices.randint(0, 17)
        match form:
            case 0 | 1 | 2:
                return f"({e('int', level)} {self.pick('+', '-', '*')} {e('int', level)})"
            case 3:
                return (
                    f"({e('int', level)} {self.pick('//', '%', '&', '|', '^')} {e('int', level)})"
                )
            case 4:
                return f"len({e(self.pick('list', 'str', 'dict', 'set', 'tuple', 'texts'), level)})"
            case 5:
                return f"sum({e('list', level)})"
            case 6:
                return f"{self.pick('max', 'min')}({e('int', level)}, {e('int', level)})"
            case 7:
                return f"{e('list', level)}[{self.choices.randint(-3, 3)}]"
            case 8:
                return f"{e('dict', level)}[{self.pick('a', 'b')!r}]"
            case 9:
                return f"({e('dict', level)}).get({self.pick('a', 'b')!r}, {e('int', level)})"
            case 10:
                return f"({e('int', level)} if {e('bool', level)} else {e('int', level)})"
            case 11:
                return f"-{e('int', level)}"
            case 12:
                return f"int({e(self.pick('float', 'str', 'bool'), level)})"
            case 13:
                return f"({e('str', level)}).{self.pick('count', 'find')}({e('str', level)})"
            case 14:
                return f"abs({e('int', level)})"
            case 15:
                name = self.fresh("w")
                if self.in_function:
                    return self.literal("int")
                return f"(({name} := {e('int', level)}) + {name})"
            case 16 if self.functions:
                name, arity = self.functions[self.choices.randint(0, len(self.functions) - 1)]
                args = ", ".join(e("int", level) for _ in range(arity))
                return f"{name}({args})"
        return self.literal("int")

    def make_float(self, level: int) -> str:
        e = self.expression
        match self.choices.randint(0, 5):
            case 0:
                return f"({e('float', level)} {self.pick('+', '-', '*')} {e('int', level)})"
            case 1:
                return f"({e('int', level)} / {e('int', level)})"
            case 2:
                return f"round({e('float', level)}, {self.choices.randint(0, 2)})"
            case 3:
                return f"float({e('int', level)})"
            case 4:
                return f"({e('float', level)} // {e('float', level)})"
        return self.literal("float")

    def make_str(self, level: int) -> str:
        e = self.expression
        match self.choices.randint(0, 13):
            case 0:
                return f"({e('str', level)} + {e('str', level)})"
            case 1:
                return f"({e('str', level)}).{self.pick('upper', 'lower', 'strip', 'title')}()"
            case 2:
                kind = self.pick("int", "float", "str", "list", "bool", "dict", "none", "tuple")
                return f"str({e(kind, level)})"
            case 3:
                first, second = self.pick("", ":>6", ":04d", ":+"), self.pick("", ":<5", "!r")
                return f"'{{{first}}}|{{{second}}}'.format({e('int', level)}, {e('str', level)})"
            case 4:
                return f"{e('str', level)}[{self.slice()}]"
            case 5:
                return f"({e('str', level)}).join({e('texts', level)})"
            case 6:
                return f"({e('str', level)} * {self.choices.randint(-1, 3)})"
            case 7:
                return f"repr({e(self.pick(*TYPES[:8]), level)})"
            case 8:
                return f"({e('str', level)} or {e('str', level)})"
            case 9:
                return f"({e('str', level)}).replace({e('str', level)}, {e('str', level)})"
            case 10:
                names = self.of_type("int") + self.of_type("str")
                if names:
                    conversion = self.pick("", "!r", "!s", ":>8", ":<5")
                    return f'f"<{{{self.pick(*names)}{conversion}}}>"'
                return self.literal("str")
            case 11:
                return (
                    f"({e('str', level)} % ())"
                    if self.chance(20)
                    else f"('%s' % {e('int', level)})"
                )
            case 12:
                return f"{e('texts', level)}[{self.choices.randint(-2, 2)}]"
        return self.literal("str")

    def make_bool(self, level: int) -> str:
        e = self.expression
        match self.choices.randint(0, 9):
            case 0:
                kind = self.pick("int", "str", "float", "list", "tuple")
                op = self.pick("<", "<=", ">", ">=", "==", "!=")
                return f"({e(kind, level)} {op} {e(kind, level)})"
            case 1:
                op, held = self.pick("in", "not in"), self.pick("list", "set")
                return f"({e('int', level)} {op} {e(held, level)})"
            case 2:
                return f"({e('str', level)} in {e(self.pick('str', 'texts', 'dict'), level)})"
            case 3:
                return f"(not {e(None, level)})"
            case 4:
                return f"({e('bool', level)} {self.pick('and', 'or')} {e('bool', level)})"
            case 5:
                return f"({e('int', level)} < {e('int', level)} <= {e('int', level)})"
            case 6:
                bound = self.choices.randint(0, 5)
                return f"{self.pick('any', 'all')}(x > {bound} for x in {e('list', level)})"
            case 7:
                cls = self.pick("int", "str", "(list, dict)", "float")
                return f"isinstance({e(None, level)}, {cls})"
            case 8:
                return f"({e(None, level)} is {self.pick('None', 'not None')})"
        return self.literal("bool")

    def make_list(self, level: int) -> str:
        e = self.expression
        match self.choices.randint(0, 12):
            case 0:
                return f"({e('list', level)} + {e('list', level)})"
            case 1:
                return (
                    f"[x {self.pick('+', '*', '-')} {e('int', level)} for x in {e('list', level)}]"
                )
            case 2:
                op = self.pick(">", "<", "!=")
                return f"[x for x in {e('list', level)} if x {op} {e('int', 3)}]"
            case 3:
                return f"sorted({e(self.pick('list', 'set'), level)}, reverse={e('bool', 3)})"
            case 4:
                key = self.pick("-k", "k % 3", "abs(k)")
                return f"sorted({e('list', level)}, key=lambda k: {key})"
            case 5:
                return f"{e('list', level)}[{self.slice()}]"
            case 6:
                return f"list(range({self.choices.randint(-2, 6)}))"
            case 7:
                return f"[*{e('list', level)}, {e('int', level)}]"
            case 8:
                return f"[a * b for a in {e('list', 3)} for b in {e('list', 3)} if a != b]"
            case 9:
                return f"list(map(lambda q: q + {e('int', 3)}, {e('list', level)}))"
            case 10:
                return f"list(reversed({e('list', level)}))"
            case 11:
                return f"({e('list', level)} * {self.choices.randint(-1, 2)})"
        return self.literal("list")

    def make_texts(self, level: int) -> str:
        e = self.expression
        match self.choices.randint(0, 4):
            case 0:
                return f"({e('str', level)}).split({self.pick('', repr(','), repr(' '))})"
            case 1:
                return f"[str(x) for x in {e('list', level)}]"
            case 2:
                return f"sorted({e('dict', level)})"
            case 3:
                return f"[t.upper() for t in {e('texts', level)} if t]"
        return self.literal("texts")

    def make_dict(self, level: int) -> str:
        e = self.expression
        match self.choices.randint(0, 5):
            case 0:
                return f"{{k: {e('int', 3)} for k in {e('texts', level)}}}"
            case 1:
                return f"{{**{e('dict', level)}, {e('str', 3)}: {e('int', level)}}}"
            case 2:
                return f"{{k: v + 1 for k, v in {e('dict', level)}.items()}}"
            case 3:
                return f"dict(zip({e('texts', level)}, {e('list', level)}))"
            case 4:
                return f"({e('dict', level)} | {e('dict', level)})"
        return self.literal("dict")

    def make_tuple(self, level: int) -> str:
        e = self.expression
        match self.choices.randint(0, 4):
            case 0:
                return f"({e('int', level)}, {e('str', level)})"
            case 1:
                return f"tuple({e('list', level)})"
            case 2:
                return f"divmod({e('int', level)}, {e('int', level)})"
            case 3:
                return f"({e(None, level)},)"
        return self.literal("tuple")

    def make_set(self, level: int) -> str:
        e = self.expression
        match self.choices.randint(0, 3):
            case 0:
                return f"({e('set', level)} {self.pick('|', '&', '-', '^')} {e('set', level)})"
            case 1:
                return f"set({e('list', level)})"
            case 2:
                return f"{{x % 3 for x in {e('list', level)}}}"
        return self.literal("set")

    def make_none(self, level: int) -> str:
        return "None"

    def slice(self) -> str:
        parts = [self.pick("", "0", "1", "-1", "2", "-3") for _ in range(2)]
        step = self.pick("", "", "2", "-1")
        return ":".join(parts) + (f":{step}" if step else "")

    # statements

    def statement(self) -> None:
        forms = [
            self.assign,
            self.assign,
            self.assign,
            self.assign,
            self.augment,
            self.condition,
            self.loop,
            self.guarded,
            self.mutate,
            self.unpack,
            self.define,
            self.repeat,
            self.matching,
            self.closure,
            self.chained,
        ]
        if self.tools:
            forms += [self.call_tool, self.call_tool, self.call_tool]
        if self.depth > 3:
            forms = [self.assign, self.augment, self.mutate]
        forms[self.choices.randint(0, len(forms) - 1)]()

    def body(self, count: int = 2) -> None:
        self.depth += 1
        for _ in range(self.choices.randint(1, count)):
            self.statement()
        if self.in_loop and self.chance(12):
            self.emit(f"if {self.expression('bool', 2)}:")
            self.emit("    " + self.pick("break", "continue"))
        self.depth -= 1

    def assign(self) -> None:
        kind = self.pick(*TYPES)
        value = self.expression(kind)
        names = self.of_type(kind)
        name = self.pick(*names) if names and self.chance(35) else self.fresh()
        annotation = ": object" if self.chance(4) and not self.depth else ""
        self.emit(f"{name}{annotation} = {value}")
        if self.depth == 0 or name in self.variables:
            self.variables[name] = kind
        else:
            self.emit_default(name, kind)

    def emit_default(self, name: str, kind: str) -> None:
        """A name first bound in a nested suite gets a value before the program too."""
        self.lines.insert(0, f"{name} = {self.literal(kind)}")
        self.variables[name] = kind

    def augment(self) -> None:
        kind = self.pick("int", "str", "list", "float", "set")
        names = self.of_type(kind)
        if not names or (self.in_function and kind != "list"):
            self.assign()
            return
        op = {"set": self.pick("|=", "&="), "int": self.pick("+=", "-=", "//=", "|=")}.get(
            kind, "+="
        )
        self.emit(f"{self.pick(*names)} {op} {self.expression(kind, 1)}")

    def condition(self) -> None:
        self.emit(f"if {self.expression('bool')}:")
        self.body()
        if self.chance(30):
            self.emit(f"elif {self.expression('bool')}:")
            self.body()
        if self.chance(50):
            self.emit("else:")
            self.body()

    def loop(self) -> None:
        form = self.choices.randint(0, 4)
        name = self.fresh("i")
        if form == 0:
            head, kind = f"for {name} in range({self.choices.randint(0, 4)}):", "int"
        elif form == 1:
            head, kind = f"for {name} in list({self.expression('list', 1)}):", "int"
        elif form == 2:
            other = self.fresh("k")
            head, kind = (
                f"for {other}, {name} in list({self.expression('dict', 1)}.items()):",
                "int",
            )
        elif form == 3:
            other = self.fresh("n")
            head, kind = f"for {other}, {name} in enumerate({self.expression('str', 1)}):", "str"
        else:
            head, kind = f"for {name} in {self.expression('texts', 1)}[:3]:", "str"
        if self.in_function:
            self.assign()
            return
        self.emit_default(name, kind)
        self.emit(head)
        self.in_loop += 1
        self.body()
        self.in_loop -= 1
        if self.chance(25):
            self.emit("else:")
            loops, self.in_loop = self.in_loop, 0
            self.body(1)
            self.in_loop = loops

    def repeat(self) -> None:
        name = self.fresh("c")
        if self.in_function:
            self.assign()
            return
        self.emit_default(name, "none")
        self.emit(f"{name} = 0")
        self.emit(f"while {name} < {self.choices.randint(1, 4)}:")
        self.depth += 1
        self.emit(f"{name} += 1")
        self.depth -= 1
        self.in_loop += 1
        self.body()
        self.in_loop -= 1

    def guarded(self) -> None:
        if self.chance(30):
            self.emit("try:")
            self.depth += 1
            self.guarded_core()
            self.depth -= 1
            self.emit("finally:")
            loops, self.in_loop = self.in_loop, 0
            self.body(1)
            self.in_loop = loops
        else:
            self.guarded_core()

    def guarded_core(self) -> None:
        self.emit("try:")
        self.body()
        if self.chance(40):
            self.depth += 1
            error = self.pick(
                "ValueError('bad')", "KeyError('k')", "TypeError", "RuntimeError('x', 1)"
            )
            self.emit(f"if {self.expression('bool', 2)}: raise {error}")
            self.depth -= 1
        name = self.fresh("e")
        kinds = self.pick("ValueError", "(TypeError, KeyError)", "LookupError", "ArithmeticError")
        self.emit(f"except {kinds} as {name}:")
        text = self.fresh("m")
        self.emit_default(text, "none")
        self.emit(f"    {text} = type({name}) is ValueError")
        self.emit("except Exception:")
        self.body(1)
        if self.chance(30):
            self.emit("else:")
            self.body(1)

    def mutate(self) -> None:
        kind = self.pick("list", "dict", "set", "texts")
        names = self.of_type(kind)
        if not names:
            self.assign()
            return
        name = self.pick(*names)
        e = self.expression
        match kind:
            case "list":
                self.emit(
                    self.pick(
                        f"{name}.append({e('int', 1)})",
                        f"{name}.extend({e('list', 2)})",
                        f"{name}.insert(0, {e('int', 1)})",
                        f"{name}.sort()",
                        f"{name}.reverse()",
                        f"{name}[0:1] = {e('list', 2)}",
                        f"{name}[{self.choices.randint(-1, 1)}] = {e('int', 1)}",
                        f"del {name}[{self.slice()}]",
                        f"{name}.pop()",
                        f"{name}.remove({e('int', 2)})",
                    )
                )
            case "dict":
                self.emit(
                    self.pick(
                        f"{name}[{e('str', 2)}] = {e('int', 1)}",
                        f"{name}.update({e('dict', 2)})",
                        f"{name}.pop({self.pick('a', 'b')!r}, None)",
                        f"{name}.setdefault({self.pick('a', 'q')!r}, {e('int', 2)})",
                        f"del {name}[{self.pick('a', 'b')!r}]",
                    )
                )
            case "set":
                self.emit(
                    self.pick(
                        f"{name}.add({e('int', 1)})",
                        f"{name}.discard({e('int', 1)})",
                        f"{name}.update({e('list', 2)})",
                    )
                )
            case _:
                self.emit(f"{name}.append({e('str', 1)})")

    def unpack(self) -> None:
        a, b = self.fresh(), self.fresh()
        if self.depth:
            self.emit_default(a, "int")
            self.emit_default(b, "list")
        self.emit(
            self.pick(
                f"{a}, *{b} = [{self.expression('int', 1)}, *{self.expression('list', 1)}]",
                f"{a}, {b} = {self.expression('int', 1)}, {self.expression('list', 1)}",
                f"({a}, {b}) = {self.expression('int', 1)}, list({self.expression('tuple', 1)})",
            )
        )
        self.variables[a], self.variables[b] = "int", "none"

    def define(self) -> None:
        if self.depth:
            self.assign()
            return
        name = self.fresh("f")
        arity = self.choices.randint(0, 3)
        params = [self.fresh("p") for _ in range(arity)]
        shown = list(params)
        if params and self.chance(40):
            shown[-1] += f"={self.literal('int')}"
        if self.chance(20):
            shown.append("*rest")
        self.emit(f"def {name}({', '.join(shown)}):")
        outer = dict(self.variables)
        outer_function, self.in_function = self.in_function, True
        loops, self.in_loop = self.in_loop, 0
        self.variables = dict.fromkeys(params, "int")
        self.depth += 1
        value = self.expression("int")
        self.emit(f"if {self.expression('bool', 1)}:")
        self.emit(f"    return {value}")
        if self.chance(30):
            self.emit("try:")
            self.emit(f"    return {self.expression('int', 1)}")
            self.emit("finally:")
            self.emit("    local = 1")
        self.emit(f"return {self.expression('int', 1)}")
        self.depth -= 1
        self.variables = outer
        self.in_function = outer_function
        self.in_loop = loops
        self.functions.append((name, arity))

    def closure(self) -> None:
        if self.depth:
            self.assign()
            return
        name, result = self.fresh("g"), self.fresh()
        self.emit(f"def {name}(start):")
        self.emit("    total = start")
        self.emit("    def step(by=1, *, scale=2):")
        self.emit("        nonlocal total")
        self.emit(f"        total {self.pick('+', '-', '*')}= by * scale")
        self.emit("        return total")
        self.emit("    return [step(i) for i in range(3)] + [step(scale=5), total]")
        self.emit(f"{result} = {name}({self.expression('int', 1)})")
        self.variables[result] = "list"

    def chained(self) -> None:
        a, b = self.fresh(), self.fresh()
        kind = self.pick("int", "list", "str")
        if self.depth:
            self.emit_default(a, kind)
            self.emit_default(b, kind)
        self.emit(f"{a} = {b} = {self.expression(kind, 1)}")
        self.variables[a] = self.variables[b] = kind

    def matching(self) -> None:
        target = self.fresh("m")
        self.emit_default(target, "none")
        kind = self.pick("int", "list", "dict", "tuple", "str", "none")
        self.emit(f"match {self.expression(kind, 1)}:")
        cases = [
            ("0 | 1", "1"),
            ("[first, *others]", "[first, others]"),
            ("{'a': value, **more}", "[value, more]"),
            ("(int() as number, str(text))", "[number, text]"),
            ("str() as text if len(text) > 2", "text"),
            ("None", "'none'"),
            ("[]", "0"),
        ]
        for position in range(self.choices.randint(1, 4)):
            pattern, value = cases[(self.choices.randint(0, 6) + position) % 7]
            self.emit(f"    case {pattern}:")
            self.emit(f"        {target} = {value}")
        self.emit("    case _:")
        self.emit(f"        {target} = {self.expression(None, 2)}")

    def call_tool(self) -> None:
        name = self.fresh()
        kind = self.pick("int", "str", "list", "dict")
        if self.depth:
            self.emit_default(name, kind)
        argument = self.expression(self.pick("int", "str", "list", "dict"), 1)
        self.emit(f"{name} = fetch_{kind}(x={argument})")
        self.variables[name] = kind


@st.composite
def programs(draw: st.DrawFn, *, tools: bool = False, size: int = 8) -> str:
    """Programs as hypothesis shrinks them."""
    choices = draw(st.randoms(use_true_random=False))
    return Generator(choices, tools=tools, size=size).program()


def seeded_program(seed: int, *, tools: bool = False, size: int = 8) -> str:
    """The program of a seed, for long runs."""
    return Generator(random.Random(seed), tools=tools, size=size).program()
