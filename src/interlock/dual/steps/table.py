"""Every instruction and its handler, and how many operands each one looks at.

A nested mapping is chosen by the instruction's argument when code is bound.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from interlock.dual.frames import Frame
from interlock.dual.marks import NEUTRAL
from interlock.dual.ops.arithmetic import HOST_OPERATORS
from interlock.dual.steps import calls, control, data
from interlock.dual.values import HeapObj, Value

if TYPE_CHECKING:
    from interlock.dual.machine import Machine

__all__ = ["HANDLERS", "OPERANDS", "STRICT_HANDLERS"]

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "is", "is not", "in", "not in")


def note(m: "Machine", f: Frame, arg: Any) -> None:  # noqa: ANN401 - a Variable
    """Lineage: the object of a variable has been changed."""
    if not m.traced:
        return
    kind, where = arg
    if kind == "global":
        found = f.namespace.get(where)
    else:
        held = f.slots[where]
        found = held.value if isinstance(held, control.CellObj) else held
    if isinstance(found, Value):
        m.note_store(f, found)


HANDLERS: Mapping[str, Any] = {
    "CONST": data.const,
    "POP": data.pop,
    "LAST": data.last,
    "DUP": data.dup,
    "DUP2": data.dup2,
    "SWAP": data.swap,
    "ROT3": data.rot3,
    "LOAD_FAST": data.load_fast,
    "STORE_FAST": data.store_fast,
    "DELETE_FAST": data.delete_fast,
    "LOAD_DEREF": data.load_deref,
    "STORE_DEREF": data.store_deref,
    "DELETE_DEREF": data.delete_deref,
    "LOAD_GLOBAL": data.load_global,
    "STORE_GLOBAL": data.store_global,
    "DELETE_GLOBAL": data.delete_global,
    "FRESH": data.fresh,
    "BINARY": {symbol: data.make_binary(symbol) for symbol in HOST_OPERATORS},
    "INPLACE": data.inplace_op,
    "UNARY": data.unary_op,
    "COMPARE": {symbol: data.make_compare(symbol) for symbol in _COMPARISONS},
    "SUBSCR": data.subscript,
    "STORE_SUBSCR": data.store_subscript,
    "DELETE_SUBSCR": data.delete_subscript,
    "SLICE": data.slice_,
    "STORE_SLICE": data.store_slice,
    "DELETE_SLICE": data.del_slice,
    "BUILD_LIST": data.build_list,
    "BUILD_TUPLE": data.build_tuple,
    "BUILD_SET": data.build_set,
    "BUILD_DICT": data.build_dict,
    "LIST_APPEND": data.list_append,
    "LIST_EXTEND": data.list_extend,
    "LIST_TO_TUPLE": data.list_to_tuple,
    "SET_ADD": data.set_add,
    "SET_UPDATE": data.set_update,
    "DICT_ADD": data.dict_add,
    "DICT_UPDATE": data.dict_update,
    "FORMAT": data.format_,
    "BUILD_STRING": data.build_string,
    "UNPACK": data.unpack,
    "UNPACK_STAR": data.unpack_star,
    "JOIN_UNDER": data.join_under,
    "JOIN_BELOW": data.join_below,
    "ATTR": calls.attribute,
    "STORE_ATTR": data.store_attr,
    "NOTE": note,
    "JUMP": control.jump,
    "BRANCH": control.branch,
    "BRANCH_KEEP": control.branch_keep,
    "BRANCH_MATCH": control.branch_match,
    "SHORT": control.short,
    "SHORT_PAIR": control.short_pair,
    "FILTER": control.filter_,
    "ITER": control.iter_,
    "NEXT": control.next_,
    "NEXT_COLLECT": control.next_collect,
    "MATCH": control.match,
    "CTRL_SAVE": control.nothing,
    "CTRL_END": control.nothing,
    "TRY_ENTER": control.nothing,
    "SETUP_TRY": control.setup_try,
    "POP_TRY": control.pop_try,
    "PUSH_EXCEPT": control.push_except,
    "POP_EXCEPT": control.pop_except,
    "MATCH_EXCEPT": control.match_except,
    "RERAISE": control.reraise,
    "RAISE": control.raise_,
    "ASSERTION": control.assertion,
    "END_FINALLY": control.end_finally,
    "CALL": calls.call,
    "CALL_METHOD": calls.call_method,
    "CALL_EX": calls.call_ex,
    "SETTLE": calls.settle,
    "FUNCTION": calls.make_function,
    "CLASS": calls.make_class,
    "RETURN": calls.return_,
    "YIELD": calls.yield_,
    "IMPORT": calls.import_,
    "IMPORT_FROM": calls.import_from,
}

OPERANDS: Mapping[str, int | Callable[[Any], int]] = {
    "BINARY": 2,
    "INPLACE": 2,
    "UNARY": 1,
    "COMPARE": 2,
    "SUBSCR": 2,
    "STORE_SUBSCR": 3,
    "DELETE_SUBSCR": 2,
    "SLICE": 4,
    "STORE_SLICE": 5,
    "DELETE_SLICE": 4,
    "BUILD_SET": lambda arg: arg,
    "BUILD_DICT": lambda arg: 2 * arg,
    "LIST_EXTEND": 1,
    "SET_ADD": 1,
    "SET_UPDATE": 1,
    "DICT_ADD": 2,
    "DICT_UPDATE": 1,
    "FORMAT": lambda arg: 1 + arg[1],
    "BUILD_STRING": lambda arg: arg,
    "UNPACK": 1,
    "UNPACK_STAR": 1,
    "ATTR": 1,
    "STORE_ATTR": 2,
    "ITER": 1,
    "NEXT": 1,
    "NEXT_COLLECT": 1,
    "MATCH": lambda arg: arg[1] + 1,
    "MATCH_EXCEPT": 2,
    "RAISE": lambda arg: arg,
    "ASSERTION": lambda arg: 1 if arg else 0,
    "CALL": lambda arg: arg[0] + len(arg[1]) + 1,
    "CALL_METHOD": lambda arg: arg[1] + len(arg[2]) + 1,
    "CALL_EX": 3,
    "CLASS": lambda arg: arg[1] + sum(a + b for _, a, b in arg[2]),
}
"""Whose marks an exception of the instruction takes."""

Handler = Callable[["Machine", Frame, Any], bool | None]


def _storing(handler: Handler) -> Handler:
    """What is stored under a condition derives from it."""

    def store(m: "Machine", f: Frame, arg: Any) -> bool | None:  # noqa: ANN401 - see `Instruction`
        control_mark = m.env.control
        if control_mark is not NEUTRAL:
            value = f.stack[-1]
            mark = m.env.marks.join(value.mark, control_mark)
            if mark is not value.mark:
                f.stack[-1] = Value(value.data, mark)
        return handler(m, f, arg)

    return store


def _putting(handler: Handler, target: int, item: int) -> Handler:
    """As `_storing`, for an item put into the container at `target` from the top."""

    def store(m: "Machine", f: Frame, arg: Any) -> bool | None:  # noqa: ANN401 - see `Instruction`
        control_mark = m.env.control
        if control_mark is not NEUTRAL:
            if item:
                value = f.stack[-item]
                mark = m.env.marks.join(value.mark, control_mark)
                f.stack[-item] = Value(value.data, mark)
            held = f.stack[-target].data
            if isinstance(held, HeapObj) and held.IS_CONTAINER:
                held.mark = m.env.marks.join(held.mark, control_mark)
                m.env.touched(held)
        return handler(m, f, arg)

    return store


def _risky(op: str, handler: Any) -> Any:  # noqa: ANN401 - handlers
    """In an open `try`, whether an operation raises decides what runs after it."""
    if isinstance(handler, dict):
        return {arg: _risky(op, inner) for arg, inner in handler.items()}
    operands = OPERANDS[op]

    def checked(m: "Machine", f: Frame, arg: Any) -> bool | None:  # noqa: ANN401 - see `Instruction`
        if m.tries and m.traced:
            count = operands(arg) if callable(operands) else operands
            marks = m.env.marks
            used = f.stack[-count:] if count else []
            mark = marks.join_all(m.env.deep(value) for value in used)
            if mark is not NEUTRAL:
                m.risk = marks.join(m.risk, mark)
                m.env.control = marks.join(m.env.control, mark)
        return handler(m, f, arg)  # type: ignore[no-any-return]

    return checked


_STRICT: dict[str, Any] = {
    "STORE_FAST": _storing(data.store_fast),
    "STORE_DEREF": _storing(data.store_deref),
    "STORE_GLOBAL": _storing(data.store_global),
    "LAST": _storing(data.last),
    "STORE_SUBSCR": _putting(data.store_subscript, 2, 3),
    "STORE_SLICE": _putting(data.store_slice, 4, 5),
    "STORE_ATTR": _putting(data.store_attr, 1, 2),
    "DELETE_SUBSCR": _putting(data.delete_subscript, 2, 0),
    "DELETE_SLICE": _putting(data.del_slice, 4, 0),
    "LIST_APPEND": data.list_append,
    "NEXT": control.strict_next,
    "NEXT_COLLECT": control.strict_next,
    "CTRL_SAVE": control.control_save,
    "CTRL_END": control.control_end,
    "TRY_ENTER": control.try_enter,
}
STRICT_HANDLERS: Mapping[str, Any] = {
    **_STRICT,
    **{op: _risky(op, _STRICT.get(op, HANDLERS[op])) for op in OPERANDS},
}
"""Those that differ in strict mode."""
