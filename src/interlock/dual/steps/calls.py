"""Instructions that call, define and return; what is called decides how."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interlock.dual.errors import Raise
from interlock.dual.frames import Frame
from interlock.dual.marks import NEUTRAL
from interlock.dual.ops.attributes import bound_method, get_attribute, import_name
from interlock.dual.ops.position import moved_by
from interlock.dual.ops.types import is_exception, shown_type, type_name
from interlock.dual.values import (
    BoundObj,
    CellObj,
    ClassObj,
    DictObj,
    ExcObj,
    FuncObj,
    GenObj,
    HeapObj,
    ListObj,
    ModuleObj,
    NativeObj,
    ToolObj,
    TupleObj,
    TypeObj,
    Value,
    touched,
)

if TYPE_CHECKING:
    from interlock.dual.machine import Machine
    from interlock.dual.program import Code

__all__ = ["bind", "enter", "invoke", "native"]

Arg = Any
Args = list[Value]
Words = dict[str, Value]


def call(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    """[callee, arguments...]; `arg`: how many are positional, and the keywords of the rest."""
    count, names = arg
    stack = f.stack
    total = count + len(names)
    args = stack[-total:] if total else []
    words = dict(zip(names, args[count:], strict=True)) if names else {}
    return invoke(m, f, stack[-total - 1], args[:count], words, total + 1)


def call_method(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    """[receiver, arguments...]; the method is looked up without making a bound object."""
    name, count, names = arg
    stack = f.stack
    total = count + len(names)
    receiver = stack[-total - 1]
    args = stack[-total:] if total else []
    words = dict(zip(names, args[count:], strict=True)) if names else {}
    data = receiver.data
    key = _method_key(m, data, name)
    if key is not None:
        return native(m, f, key, [receiver, *args[:count]], words, total + 1)
    function = get_attribute(m.env, m.library, receiver, name)
    return invoke(m, f, function, args[:count], words, total + 1)


def has_method(m: "Machine", f: Frame, arg: Arg) -> None:
    """Fails when the receiver has no such method."""
    receiver = f.stack[-1]
    if _method_key(m, receiver.data, arg) is None:
        get_attribute(m.env, m.library, receiver, arg)


def _method_key(m: "Machine", data: Any, name: str) -> str | None:  # noqa: ANN401 - data of a value
    """The native behind a method of built-in data, None for anything else."""
    kind = type(data)
    if kind is ListObj or kind is DictObj:
        type_ = data.kind
    elif kind is str:
        type_ = "str"
    elif isinstance(data, HeapObj) and kind.__name__ in _BY_ATTRIBUTE:
        return None
    else:
        type_ = type_name(data)
    return bound_method(m.library, type_, name)


_BY_ATTRIBUTE = frozenset({"InstanceObj", "ModuleObj", "ClassObj", "TypeObj"})


def call_ex(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    """[callee, list, dict]: a call with `*args` or `**kwargs`."""
    callee, given, named = f.stack[-3:]
    args: Args = []
    words: Words = {}
    if isinstance(given.data, ListObj) and isinstance(named.data, DictObj):
        own = m.env.marks.join(given.data.mark, NEUTRAL)
        args = [_marked(m, item, own) for item in given.data.items]
        own = named.data.mark
        words = {
            str(key.data): _marked(m, item, m.env.marks.join(own, key.mark))
            for key, item in named.data.entries.values()
        }
    return invoke(m, f, callee, args, words, 3)


def _marked(m: "Machine", value: Value, mark: Any) -> Value:  # noqa: ANN401 - a Mark
    joined = m.env.marks.join(value.mark, mark)
    return value if joined is value.mark else Value(value.data, joined)


def invoke(  # noqa: PLR0917 - every handler passes the same
    m: "Machine", f: Frame, callee: Value, args: Args, words: Words, pops: int
) -> bool | None:
    """Calls anything; takes `pops` values off the stack once it is clear that it can."""
    data = callee.data
    if isinstance(data, FuncObj):
        slots = bind(m, data, args, words)
        del f.stack[-pops:]
        return enter(m, data, slots, callee, args, words)
    if isinstance(data, NativeObj):
        return native(m, f, data.name, args, words, pops, callee)
    if isinstance(data, BoundObj):
        receiver = _marked(m, data.receiver, callee.mark)
        return invoke(m, f, data.function, [receiver, *args], words, pops)
    if isinstance(data, ToolObj):
        return m.request(f, callee, args, words, pops)
    if isinstance(data, TypeObj):
        return _construct(m, f, callee, data, args, words, pops)
    if isinstance(data, ClassObj):
        return _instantiate(m, f, callee, data, args, words, pops)
    raise Raise("TypeError", f"'{shown_type(data)}' object is not callable")


def _construct(  # noqa: PLR0917 - every handler passes the same
    m: "Machine", f: Frame, callee: Value, cls: TypeObj, args: Args, words: Words, pops: int
) -> bool | None:
    if is_exception(cls.name, "BaseException"):
        if words:
            raise Raise("TypeError", f"{cls.name}() takes no keyword arguments")
        made = Value(ExcObj(cls.name, args), callee.mark)
        del f.stack[-pops:]
        f.stack.append(made)
        return None
    if cls.name not in m.library.natives:
        override = m.library.overrides.get(cls.name)
        if override is None:
            raise Raise("TypeError", f"cannot create '{cls.name}' instances")
    return native(m, f, cls.name, args, words, pops, callee)


def _instantiate(  # noqa: PLR0917 - every handler passes the same
    m: "Machine", f: Frame, callee: Value, cls: ClassObj, args: Args, words: Words, pops: int
) -> bool | None:
    factories = m.classes.factories(cls, len(args), words)
    if factories:
        names = ListObj([Value(name) for name, _ in factories])
        makers = ListObj([maker for _, maker in factories])
        keywords = DictObj({name: (Value(name), value) for name, value in words.items()})
        del f.stack[-pops:]
        return m.call_prelude(
            "_with_factories",
            [callee, Value(ListObj(args)), Value(keywords), Value(names), Value(makers)],
        )
    made = m.classes.instantiate(m.env, callee, args, words)
    del f.stack[-pops:]
    f.stack.append(made)
    return None


def native(  # noqa: PLR0917 - every handler passes the same
    m: "Machine",
    f: Frame,
    name: str,
    args: Args,
    words: Words,
    pops: int,
    callee: Value | None = None,
) -> bool | None:
    """Calls a native; generators among the arguments are handled by the prelude."""
    env = m.env
    override = m.library.overrides.get(name)
    if override is not None and override.applies(args, words):
        del f.stack[-pops:]
        return m.call_prelude(override.function, args, words, callee)
    found = m.library.natives[name]
    if not found.generators:
        for value in args:
            if type(value.data) is GenObj:
                return _drained(m, f, name, args, words, pops)
    if found.cost:
        env.meter.work(found.cost)
    result = found.fn(env, args, words)
    if m.traced:
        marks = env.marks
        mark = result.mark if callee is None else marks.join(result.mark, callee.mark)
        if found.marks == "join":
            for value in (*args, *words.values()):
                mark = marks.join(mark, env.deep(value))
        if m.strict and env.rng_mark is not NEUTRAL and name.startswith("random."):
            mark = marks.join(mark, env.rng_mark)
            if name == "random.shuffle" and isinstance(args[0].data, ListObj):
                touched(marks, args[0].data, env.rng_mark)
        if mark is not result.mark:
            result = Value(result.data, mark)
    del f.stack[-pops:]
    f.stack.append(result)
    return None


def _drained(m: "Machine", f: Frame, name: str, args: Args, words: Words, pops: int) -> bool | None:  # noqa: PLR0917 - see above
    """Natives take no generators: the prelude turns them into iterators over lists first."""
    keywords = DictObj({key: (Value(key), value) for key, value in words.items()})
    del f.stack[-pops:]
    return m.call_prelude(
        "_call_drained",
        [Value(NativeObj(name)), Value(ListObj(args)), Value(keywords)],
    )


def settle(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    """A generator on top becomes an iterator over a list of all it yields."""
    value = f.stack[-1]
    if type(value.data) is not GenObj:
        return None
    f.stack.pop()
    return m.call_prelude("_drained", [value])


# functions of the program


def bind(m: "Machine", function: FuncObj, args: Args, words: Words) -> list[Any]:
    """The slots of a new activation.

    Raises:
        Raise: `TypeError`, the arguments do not fit, in CPython's words.
    """
    code = m.code_of(function)
    count = code.positional
    given = len(args)
    slots: list[Any] = [None] * len(code.slots)
    if given == count and not words and not code.keyword_only:
        slots[:given] = args
    else:
        _bind_slowly(m, function, code, args, words, slots)
    at = count + code.keyword_only
    if code.var_positional and slots[at] is None:
        from_ = args[count:]
        m.env.meter.elements(len(from_) + 1)
        slots[at] = Value(TupleObj(tuple(from_)))
    if code.var_keyword:
        where = at + code.var_positional
        if slots[where] is None:
            slots[where] = Value(DictObj({}))
    for slot in code.cells:
        slots[slot] = CellObj(slots[slot])
    for slot, cell in zip(code.free, function.cells, strict=True):
        slots[slot] = cell
    return slots


def _bind_slowly(  # noqa: PLR0917 - every handler passes the same
    m: "Machine", function: FuncObj, code: "Code", args: Args, words: Words, slots: list[Any]
) -> None:
    name = f"{function.name}()"
    count = code.positional
    if len(args) > count and not code.var_positional:
        wanted = f"{count} positional argument{'' if count == 1 else 's'}"
        if function.defaults:
            wanted = f"from {count - len(function.defaults)} to {count} positional arguments"
        verb = "was" if len(args) == 1 else "were"
        raise Raise("TypeError", f"{name} takes {wanted} but {len(args)} {verb} given")
    slots[: min(len(args), count)] = args[:count]
    names = code.slots[: count + code.keyword_only]
    extra: dict[Any, tuple[Value, Value]] = {}
    for word, value in words.items():
        position = names.index(word) if word in names else -1
        if position >= code.positional_only:
            if slots[position] is not None:
                raise Raise("TypeError", f"{name} got multiple values for argument '{word}'")
            slots[position] = value
        elif code.var_keyword:
            extra[word] = (Value(word), value)
        else:
            raise Raise("TypeError", f"{name} got an unexpected keyword argument '{word}'")
    first_default = count - len(function.defaults)
    missing = []
    for position in range(count):
        if slots[position] is None:
            if position >= first_default:
                slots[position] = function.defaults[position - first_default]
            else:
                missing.append(names[position])
    _complain(name, missing, "positional")
    missing = []
    for position in range(count, count + code.keyword_only):
        if slots[position] is None:
            slots[position] = function.kw_defaults.get(names[position])
            if slots[position] is None:
                missing.append(names[position])
    _complain(name, missing, "keyword-only")
    if code.var_keyword:
        m.env.meter.elements(2 * len(extra) + 1)
        slots[count + code.keyword_only + code.var_positional] = Value(DictObj(extra))


def _complain(name: str, missing: list[str], kind: str) -> None:
    if not missing:
        return
    quoted = [f"'{each}'" for each in missing]
    shown = quoted[0]
    if len(quoted) == 2:
        shown = " and ".join(quoted)
    elif len(quoted) > 2:
        shown = f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
    plural = "" if len(missing) == 1 else "s"
    raise Raise(
        "TypeError", f"{name} missing {len(missing)} required {kind} argument{plural}: {shown}"
    )


def enter(  # noqa: PLR0917 - every handler passes the same
    m: "Machine",
    function: FuncObj,
    slots: list[Any],
    callee: Value | None,
    args: Sequence[Value],
    words: Words,
) -> bool:
    """Begins a function, or makes its generator."""
    code = m.code_of(function)
    frame = m.new_frame(code, function.unit, slots)
    if callee is not None:
        frame.gathered = callee.mark
    if function.unit == 0:
        # Also while nothing is labelled: a tool it calls may bring the first label.
        frame.gathers = True
        if m.traced:
            for value in (*args, *words.values()):
                frame.gathered = m.env.marks.join(frame.gathered, m.env.deep(value))
    if code.is_generator:
        frame.gathers = True
        made = GenObj(frame)
        made.mark = frame.gathered
        frame.generator = made
        m.frame.stack.append(Value(made))
        return False
    m.push(frame)
    return True


def make_function(m: "Machine", f: Frame, arg: Arg) -> None:
    index, defaults, words, closure = arg
    stack = f.stack
    keywords = {}
    if words:
        keywords = dict(zip(words, stack[-len(words) :], strict=True))
        del stack[-len(words) :]
    positional: tuple[Value, ...] = ()
    if defaults:
        positional = tuple(stack[-defaults:])
        del stack[-defaults:]
    cells = []
    for slot in closure:
        cell = f.slots[slot]
        if not isinstance(cell, CellObj):
            cell = CellObj(cell)
            f.slots[slot] = cell
        cells.append(cell)
    name = m.units[f.unit].program.codes[index].name
    m.env.meter.elements(1 + defaults)
    stack.append(Value(FuncObj(name, f.unit, index, positional, keywords, tuple(cells))))


def make_class(m: "Machine", f: Frame, arg: Arg) -> None:
    name, bases, fields, options = arg
    stack = f.stack
    count = bases + sum(annotated + given for _, annotated, given in fields)
    parts = iter(stack[-count:] if count else [])
    base_values = [next(parts) for _ in range(bases)]
    declared = []
    for field, annotated, given in fields:
        annotation = next(parts) if annotated else None
        declared.append((field, annotation, next(parts) if given else None))
    made = m.classes.declare(m.env, name, base_values, declared, options)
    if count:
        del stack[-count:]
    stack.append(made)


def return_(m: "Machine", f: Frame, arg: Arg) -> bool:
    value = f.stack.pop()
    if f.gathered is not NEUTRAL:
        value = _marked(m, value, f.gathered)
        if m.strict and not f.unit:
            moved_by(m.env, f)
    if m.strict:
        value = _marked(m, value, m.env.control)
    m.leave(f)
    if f.generator is not None:
        m.finish_generator(f)
    elif m.frames:
        m.frame.stack.append(value)
    return True


def yield_(m: "Machine", f: Frame, arg: Arg) -> bool:
    """Hands the value to whoever iterates; the frame waits in its generator."""
    value = f.stack[-1]
    generator = f.generator
    if generator is None:
        raise Raise("RuntimeError", "yield outside a generator")
    generator.mark = m.env.marks.join(generator.mark, f.gathered)
    value = _marked(m, value, generator.mark)
    if m.strict and not f.unit:
        moved_by(m.env, f)
    if m.strict:
        value = _marked(m, value, m.env.control)
    f.stack[-1] = Value(None)
    generator.running = False
    m.leave(f)
    m.frame.stack.append(value)
    return True


def attribute(m: "Machine", f: Frame, arg: Arg) -> None:
    f.stack[-1] = get_attribute(m.env, m.library, f.stack[-1], arg)


def import_(m: "Machine", f: Frame, arg: Arg) -> None:
    if arg not in m.library.modules:
        raise Raise("ModuleNotFoundError", f"No module named '{arg}'")
    f.stack.append(Value(ModuleObj(arg)))


def import_from(m: "Machine", f: Frame, arg: Arg) -> None:
    f.stack[-1] = import_name(m.env, m.library, f.stack[-1], arg)
