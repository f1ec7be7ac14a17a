"""The machine: runs a compiled program until it calls a tool, ends, or fails.

Pure and resumable: everything it is lies in frames and values of ours, so it can be written down
at every call (`dump`) and go on in another process (`load`). No host recursion grows with the
program's, nothing is executed by the host on its behalf, and time is counted in steps.

    machine = Machine.start(program)
    while isinstance(event := machine.run(), Pending):
        for request in event.calls:
            machine.give(request.no, perform(request), labels)

Source: gateway.md 10.2-10.6, 11.9, 11.10.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from interlock.dual.errors import (
    BranchDenied,
    LimitExceeded,
    ProgramExit,
    Raise,
    RunError,
    RunErrorKind,
)
from interlock.dual.events import (
    Event,
    Finished,
    Options,
    Pending,
    Request,
    Stopped,
    Store,
    Unit,
)
from interlock.dual.frames import Frame
from interlock.dual.library import Library, library
from interlock.dual.limits import ELEMENT_BYTES
from interlock.dual.lineage import Lineage, trace_back
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env
from interlock.dual.ops.attributes import get_attribute, member_value
from interlock.dual.ops.classes import Classes
from interlock.dual.ops.types import EXCEPTIONS, is_exception
from interlock.dual.plain import json_data, lift
from interlock.dual.program import Code, Program, ToolSig
from interlock.dual.steps.calls import bind, enter
from interlock.dual.steps.control import exhausted
from interlock.dual.steps.table import HANDLERS, OPERANDS, STRICT_HANDLERS
from interlock.dual.stored import restore, write
from interlock.dual.values import (
    ClassObj,
    ExcObj,
    FuncObj,
    GenObj,
    HeapObj,
    NativeObj,
    ToolObj,
    TypeObj,
    Value,
)
from interlock.policy.branching import branch_violation
from interlock.policy.model import Labels

__all__ = ["Event", "Finished", "Machine", "Options", "Pending", "Request", "Stopped"]

_MAX_BRANCHES = 4096
_DEFECTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Machine:
    """One run. Make it with `start` or `load`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.library: Library = library()
        self.env = Env(options.limits, options.now, options.seed, self.library.iterators)
        self.env.natives = self.library.natives
        self.env.meter.measure = self._alive_bytes
        self.env.attribute = partial(get_attribute, self.env, self.library)
        self.classes = Classes()
        self.strict = options.strict
        self.variables: dict[str, Value] = {}
        """The module's variables."""
        self.builtins: dict[str, Value] = {}
        self.tools: dict[str, ToolSig] = {}
        self.units: list[Unit] = [Unit(self.library.prelude, {})]
        self.frames: list[Frame] = []
        self.frame: Frame = _NO_FRAME
        """The frame that runs, the last of `frames`."""
        self.last: Value | None = None
        """Of the last expression statement."""
        self.risk: Mark = NEUTRAL
        """Strict mode: what decided whether the open `try` statements raised so far."""
        self.tries = 0
        """Strict mode: number of open `try` statements."""
        self.traced = False
        """Whether any value can carry a mark; until then nothing is recorded."""
        self.branches: list[tuple[int, Mark]] = []
        """Decisions on values that derive from something: line and mark, each pair once."""
        self._branch_keys: set[tuple[int, int]] = set()
        self.trace: deque[Store] = deque(maxlen=options.limits.trace_entries)
        self.calls = 0
        """Requests made so far."""
        self.requests: dict[int, Request] = {}
        """All requests so far, for lineage; their argument values included."""
        self.contexts: dict[int, str] = {}
        """Names of context variables by source number."""
        self.waiting: dict[int, Mark] = {}
        """Numbers of the requests without a result, and what their arguments derive from."""
        self.event: Event | None = None
        self.stores = 0
        """Stores the trace has seen, forgotten ones included."""
        self.thrown: Raise | None = None
        """What to raise when it goes on: a refused call."""

    # life

    @classmethod
    def start(
        cls,
        program: Program,
        *,
        names: Mapping[str, Value] | None = None,
        options: Options | None = None,
    ) -> "Machine":
        """A machine about to run the program; `names` are variables that exist already.

        The marks of `names` must come from `mark`: use `define` for plain data.
        """
        machine = cls(options or Options())
        machine.begin_prelude()
        machine.variables.update(names or {})
        machine.extend(program)
        return machine

    def define(self, name: str, data: Any, labels: Labels, source: int | None = None) -> None:  # noqa: ANN401 - JSON
        """Binds a context variable of plain JSON data before the program runs."""
        if source is not None:
            self.contexts[source] = name
        self.variables[name] = lift(data, self.mark(labels, source), self.env.meter)

    def mark(self, labels: Labels, source: int | None = None) -> Mark:
        """The mark of a value from outside. Negative sources are context variables."""
        made = self.env.marks.mark(labels, () if source is None else (source,))
        if made is not NEUTRAL:
            self.traced = True
        return made

    def begin_prelude(self) -> None:
        """Binds the built-ins and the functions of the prelude."""
        functions = self.library.functions
        if not functions:
            functions.update(self._prelude_functions())
        self.units[0].namespace.update(functions)
        self.builtins = {
            name: member_value(self.library, self.env, member)
            for name, member in self.library.builtins.items()
        }

    def _prelude_functions(self) -> dict[str, Value]:
        """Runs the prelude, which only defines functions."""
        prelude = self.units[0]
        for name in self.library.natives:
            if name.startswith("_"):
                prelude.namespace[name] = Value(NativeObj(name))
        self.push(self.new_frame(prelude.program.codes[0], 0, []))
        self.run()
        self.event = None
        self.env.meter.steps = 0
        return prelude.namespace

    def extend(self, program: Program) -> None:
        """Goes on with a further program on the same variables (a further step)."""
        self.add(program)
        self.last = None
        self.event = None
        self.frames.clear()
        self.env.control = NEUTRAL
        self.risk, self.tries = NEUTRAL, 0
        code = program.codes[0]
        unit = len(self.units) - 1
        self.push(self.new_frame(code, unit, [None] * len(code.slots)))

    def add(self, program: Program) -> None:
        """Makes a program's code and tools known."""
        self.units.append(Unit(program, self.variables))
        for name, sig in program.tools.items():
            self.tools[name] = sig
            self.builtins[name] = Value(ToolObj(name))

    def dump(self) -> bytes:
        """Everything the machine is, at any point between two calls of `run`."""
        return write(self)

    @classmethod
    def load(cls, program: Program | Sequence[Program] | None, data: bytes) -> "Machine":
        """The machine a dump was made of; it goes on as the dumped one would have.

        Programs that are not given (earlier steps) are compiled from their stored source.

        Raises:
            StateError: the dump is damaged, or another version made it.
        """
        programs = [program] if isinstance(program, Program) else list(program or ())
        return restore(cls, programs, data)

    def set_frames(self, frames: list[Frame]) -> None:
        """Puts back the frames of a stored run."""
        self.frames = frames
        self.frame = frames[-1] if frames else _NO_FRAME

    def recall(self, branches: Sequence[tuple[int, Mark]], trace: Sequence[Store]) -> None:
        """Puts back what a stored run had recorded."""
        self.branches = list(branches)
        self._branch_keys = {(line, mark.number) for line, mark in branches}
        self.trace.extend(trace)

    def namespace(self) -> dict[str, Value]:
        """The variables of the program that hold data (no functions, classes or modules)."""
        hidden = ("FuncObj", "ClassObj", "ModuleObj", "NativeObj", "ToolObj", "TypeObj")
        return {
            name: value
            for name, value in self.variables.items()
            if type(value.data).__name__ not in hidden
        }

    # frames

    def code_of(self, function: FuncObj) -> Code:
        """The code of a function."""
        return self.units[function.unit].program.codes[function.code]

    def new_frame(self, code: Code, unit: int, slots: list[Any]) -> Frame:
        """A frame that has not begun."""
        self.env.meter.elements(len(slots) + 4)
        held = self.units[unit]
        return Frame(code, unit, self._bound(held.program, code), held.namespace, slots)

    def _bound(self, program: Program, code: Code) -> list[tuple[Any, Any]]:
        """The code with handlers in place of operation names."""
        key = (self.strict, code.index)
        found = program.bound.get(key)
        if found is None:
            found = []
            for op, arg in code.ops:
                table = STRICT_HANDLERS if self.strict and op in STRICT_HANDLERS else HANDLERS
                handler = table[op]
                if isinstance(handler, dict):
                    handler = handler[arg]
                found.append((handler, arg))
            program.bound[key] = found
        return found

    def push(self, frame: Frame) -> None:
        """Makes a frame the one that runs.

        Raises:
            LimitExceeded: the program recurses too deeply.
        """
        if len(self.frames) >= self.options.limits.recursion:
            raise LimitExceeded(
                "recursion", f"more than {self.options.limits.recursion} nested calls"
            )
        frame.control = self.env.control
        frame.tries = self.tries
        self.frames.append(frame)
        self.frame = frame

    def leave(self, frame: Frame) -> None:
        """Goes back to the caller."""
        self.frames.pop()
        if self.strict:
            self.env.control = frame.control
            self.tries = frame.tries
            if self.tries:
                self.env.control = self.env.marks.join(frame.control, self.risk)
        self.frame = self.frames[-1] if self.frames else _NO_FRAME

    def call_prelude(
        self,
        name: str,
        args: Sequence[Value],
        words: dict[str, Value] | None = None,
        callee: Value | None = None,
    ) -> bool:
        """Begins a function of the prelude; its outcome lands on the stack."""
        function = self.units[0].namespace[name].data
        assert isinstance(function, FuncObj)  # noqa: S101 - the prelude defines it
        given = dict(words or {})
        slots = bind(self, function, list(args), given)
        return enter(self, function, slots, callee, args, given)

    def resume(self, generator: GenObj) -> bool:
        """Lets a generator run to its next value; False once it has none."""
        frame = generator.frame
        if not isinstance(frame, Frame):
            return False
        if generator.running:
            raise Raise("ValueError", "generator already executing")
        self.push(frame)
        generator.running = True
        return True

    def finish_generator(self, frame: Frame) -> None:
        """A generator's frame has returned: the loop over it ends."""
        generator = frame.generator
        if generator is not None:
            generator.frame = None
            generator.running = False
            generator.mark = self.env.marks.join(generator.mark, frame.gathered)
        consumer = self.frame
        exhausted(self, consumer, consumer.code.ops[consumer.pc - 1][1])

    # what handlers report

    def line(self) -> int:
        """The line of the program that runs now; of the call, inside the prelude."""
        for frame in reversed(self.frames):
            if frame.unit:
                return frame.code.lines[max(frame.pc - 1, 0)]
        return 0

    def decided(self, f: Frame, mark: Mark) -> None:
        """A condition has been looked at.

        Raises:
            BranchDenied: the branching policy forbids it.
        """
        if mark is NEUTRAL:
            return
        self.looped(f, mark)
        rules = self.options.branch
        if rules is not None and f.unit:
            reason = branch_violation(mark.labels, rules)
            if reason is not None:
                raise BranchDenied(reason, mark)
        if self.strict:
            self.env.control = self.env.marks.join(self.env.control, mark)

    def looped(self, f: Frame, mark: Mark) -> None:
        """Something decided how often or whether code runs, without being a decision point."""
        if self.strict:
            self.env.rng_mark = self.env.marks.join(self.env.rng_mark, mark)
        if f.gathers:
            f.gathered = self.env.marks.join(f.gathered, mark)
        line = self.line()
        key = (line, mark.number)
        if key not in self._branch_keys and len(self.branches) < _MAX_BRANCHES:
            self._branch_keys.add(key)
            self.branches.append((line, mark))

    def note_store(self, f: Frame, value: Value) -> None:
        """Remembers a store of a value that derives from something."""
        mark = self.env.deep(value)
        if mark is NEUTRAL or not f.unit:
            return
        name, reads = f.code.reads.get(f.pc - 1, ("", ()))
        if name:
            line = f.code.lines[f.pc - 1]
            self.trace.append(Store(line, name, mark, reads, f.code.index))
            self.stores += 1

    def exception_of(self, value: Value) -> Value | None:
        """The exception to raise for `raise value`: an instance as it is, a class called."""
        data = value.data
        if isinstance(data, ExcObj):
            return value
        if isinstance(data, TypeObj) and is_exception(data.name, "BaseException"):
            return Value(ExcObj(data.name, []), value.mark)
        if isinstance(data, ClassObj) and data.kind == "exception":
            return self.classes.instantiate(self.env, value, [], {})
        return None

    # running

    def run(self) -> Event:
        """Runs until something must be told: calls, the end, a failure.

        Told again the same until a result has been given.
        """
        if self.event is not None:
            return self.event
        thrown, self.thrown = self.thrown, None
        while self.event is None:
            try:
                if thrown is not None:
                    raise thrown
                self._loop()
            except Raise as error:
                thrown = self._unwind(error)
            except ProgramExit:
                self._finish()
            except LimitExceeded as error:
                self._stop("limit", error.what, error.message, self._reach())
            except BranchDenied as error:
                self._stop("control_flow_violation", "", error.message, error.mark)
            except RecursionError:
                thrown = Raise("RecursionError", "data is nested too deeply")
            except _DEFECTS:
                # A defect of ours: said without details, which might hold data or host names.
                self._stop("exception", "RuntimeError", "the interpreter failed", self._reach())
            except MemoryError:
                self._stop("limit", "memory", "out of memory", self._reach())
        return self.event

    def _loop(self) -> None:
        meter = self.env.meter
        limit = meter.limits.steps
        while self.event is None:
            frame = self.frame
            if frame is _NO_FRAME:
                self._finish()
                return
            ops = frame.ops
            count = 0
            try:
                for count in range(1, limit - meter.steps + 1):  # noqa: B007 - charged below
                    pc = frame.pc
                    frame.pc = pc + 1
                    handler, arg = ops[pc]
                    if handler(self, frame, arg):  # type: ignore[operator]
                        break
                else:
                    raise LimitExceeded("steps", f"more than {limit} steps")
            finally:
                meter.steps += count

    def _unwind(self, error: Raise) -> Raise | None:
        """Goes to the innermost handler; without one the program has failed."""
        exc = self._exception(error)
        marks = self.env.marks
        while self.frames:
            frame = self.frame
            if frame.handlers:
                target, depth, handled, controls = frame.handlers.pop()
                del frame.stack[depth:]
                del frame.handled[handled:]
                frame.stack.append(exc)
                frame.pc = target
                mark = self.env.deep(exc)
                if mark is not NEUTRAL:
                    self.looped(frame, mark)
                if self.strict:
                    del frame.controls[controls:]
                    self.env.control = marks.join(marks.join(self.env.control, mark), self.risk)
                return None
            if frame.generator is not None:
                frame.generator.frame = None
                frame.generator.running = False
            if len(self.frames) == 1:
                break
            self.frames.pop()
            self.frame = self.frames[-1]
        data = exc.data
        assert isinstance(data, ExcObj)  # noqa: S101 - made above
        name = data.type_name if data.cls is None else data.cls.name
        self._stop("exception", name, self._message(exc), self.env.deep(exc), data)
        return None

    def _message(self, exc: Value) -> str:
        """The text of an exception, empty when that text would be too large or too deep."""
        try:
            return str(self.env.natives["str"].fn(self.env, (exc,), {}).data)
        except (Raise, LimitExceeded):
            return ""

    def _exception(self, error: Raise) -> Value:
        """The exception object of an event, marked with what it derives from."""
        frame = self.frame
        marks = self.env.marks
        mark = error.mark
        if mark is None:
            mark = self._operands(frame)
        if self.strict:
            mark = marks.join(mark, self.env.control)
        exc = error.exc
        if exc is None:
            args = [Value(error.message, mark)] if error.message else []
            name = error.type_name if error.type_name in EXCEPTIONS else "RuntimeError"
            exc = ExcObj(name, args)
        if not exc.line:
            exc.line = self.line()
            exc.frames = tuple(
                (f.code.name, f.code.lines[max(f.pc - 1, 0)]) for f in self.frames if f.unit
            )
        return Value(exc, mark)

    def _operands(self, frame: Frame) -> Mark:
        """What the instruction that failed looked at."""
        if frame is _NO_FRAME or not self.traced:
            return NEUTRAL
        op, arg = frame.code.ops[frame.pc - 1]
        count = OPERANDS.get(op, 0)
        if callable(count):
            count = count(arg)
        used = frame.stack[-count:] if count else []
        mark = self.env.marks.join_all(self.env.deep(value) for value in used)
        return self.env.marks.join(mark, frame.gathered)

    def _reach(self) -> Mark:
        """For a failure that anything may have led to: every decision so far."""
        return self.env.marks.join_all(mark for _, mark in self.branches)

    def _stop(
        self,
        kind: RunErrorKind,
        type_name: str,
        message: str,
        mark: Mark,
        exc: ExcObj | None = None,
    ) -> None:
        frames = tuple((f.code.name, f.code.lines[max(f.pc - 1, 0)]) for f in self.frames if f.unit)
        line = self.line()
        if exc is not None:
            frames, line = exc.frames or frames, exc.line or line
        error = RunError(
            kind=kind, type_name=type_name, message=message, line=line, frames=frames, mark=mark
        )
        self.event = Stopped(error)
        self.frames.clear()
        self.frame = _NO_FRAME

    def _finish(self) -> None:
        answer = self.variables.get("final_return_value")
        if answer is None:
            answer = self.last or Value(None)
        mark = self.env.marks.join(answer.mark, self.env.control)
        self.event = Finished(Value(answer.data, mark) if mark is not answer.mark else answer)
        self.frames.clear()
        self.frame = _NO_FRAME

    # calls of tools

    def request(
        self, f: Frame, callee: Value, args: list[Value], words: dict[str, Value], pops: int
    ) -> bool:
        """A tool is called: the program waits."""
        data = callee.data
        assert isinstance(data, ToolObj)  # noqa: S101 - the caller checked
        sig = self.tools[data.name]
        given = _arguments(sig, args, words)
        if self.calls >= self.options.limits.tool_calls:
            error = f"more than {self.options.limits.tool_calls} tool calls"
            self._stop("tool_calls", "tool_calls", error, self._reach())
            return True
        marks = self.env.marks
        control = marks.join(self.env.control, callee.mark)
        deep = {name: marks.join(self.env.deep(v), control) for name, v in given.items()}
        snapshot = {name: json_data(v, self.env.meter) for name, v in given.items()}
        del f.stack[-pops:]
        self.calls += 1
        request = Request(
            no=self.calls,
            sig=sig,
            args=snapshot,
            labels={name: mark.labels for name, mark in deep.items()},
            sources={name: mark.sources for name, mark in deep.items()},
            control=control.labels,
            line=self.line(),
            reads=self._reads(f, sig, given),
            at=self.stores,
        )
        self.requests[request.no] = request
        self.waiting[request.no] = marks.join(marks.join_all(deep.values()), control)
        self.event = Pending((request,))
        # A stored run begins without caches; so does this one, and both count the same steps.
        marks.epoch += 1
        return True

    def _reads(
        self, f: Frame, sig: ToolSig, given: Mapping[str, Value]
    ) -> dict[str, tuple[str, ...]]:
        found = {}
        for key, names in f.code.call_reads.get(f.pc - 1, ()):
            if isinstance(key, int):
                name = sig.params[key] if key < len(sig.params) else ""
            else:
                name = key
            if name in given:
                found[name] = names
        return found

    def give(self, no: int, data: Any, labels: Labels) -> None:  # noqa: ANN401 - JSON
        """The result of a request: plain JSON data and the labels policy put on it.

        Raises:
            KeyError: no such request waits for a result.
        """
        before = self._answered(no)
        sources = before.sources | {no}
        mark = self.env.marks.mark(labels, sources)
        if self.strict:
            mark = self.env.marks.join(mark, self.env.control)
        self.traced = True
        self.event = None
        try:
            self.frame.stack.append(lift(data, mark, self.env.meter))
        except LimitExceeded as error:
            self._stop("limit", error.what, error.message, mark)

    def lineage(self, request: Request) -> Lineage:
        """Which results put which labels on the call's arguments, through which lines."""
        return trace_back(request, list(self.trace), self.stores, self.requests, self.contexts)

    def _answered(self, no: int) -> Mark:
        before = self.waiting.pop(no)
        # Only what lineage shows of a finished call is kept: a suspended program stays small.
        self.requests[no] = replace(self.requests[no], args={})
        return before

    def refuse(self, no: int, type_name: str, message: str, labels: Labels) -> None:
        """The request failed: raises that exception in the program, which may catch it.

        Raises:
            KeyError: no such request waits for a result.
        """
        before = self._answered(no)
        mark = self.env.marks.mark(labels, before.sources | {no})
        self.traced = True
        self.event = None
        name = type_name if type_name in EXCEPTIONS else "ToolError"
        self.thrown = Raise(name, message, mark)

    # memory

    def _alive_bytes(self) -> int:
        """Bytes of everything a program can still reach; an estimate, as the charges are."""
        self.env.meter.work(64)
        total = 0
        seen: set[int] = set()
        stack: list[Any] = [self.variables, self.frames, self.last]
        looked_at = 0
        while stack:
            item = stack.pop()
            looked_at += 1
            if isinstance(item, Value):
                total += ELEMENT_BYTES
                item = item.data
                if isinstance(item, str | bytes):
                    total += len(item)
                    continue
            if isinstance(item, HeapObj | Frame):
                if id(item) in seen:
                    continue
                seen.add(id(item))
                names = item.STATE if isinstance(item, HeapObj) else ("stack", "slots", "generator")
                stack.extend(getattr(item, name) for name in names)
                if isinstance(item, Frame):
                    stack.extend(item.handled)
            elif isinstance(item, list | tuple):
                stack.extend(item)
            elif isinstance(item, dict):
                stack.extend(item.values())
        self.env.meter.work(looked_at >> 3)
        return total


def _arguments(sig: ToolSig, args: list[Value], words: dict[str, Value]) -> dict[str, Value]:
    """Arguments by name.

    Raises:
        Raise: `TypeError`: too many, unknown, given twice, or a required one is missing.
    """
    if len(args) > len(sig.params):
        raise Raise(
            "TypeError",
            f"{sig.name}() takes {len(sig.params)} arguments but {len(args)} were given",
        )
    given = dict(zip(sig.params, args, strict=False))
    for name, value in words.items():
        if name not in sig.params:
            raise Raise("TypeError", f"{sig.name}() got an unexpected keyword argument '{name}'")
        if name in given:
            raise Raise("TypeError", f"{sig.name}() got multiple values for argument '{name}'")
        given[name] = value
    missing = sorted(sig.required - given.keys())
    if missing:
        shown = ", ".join(f"'{name}'" for name in missing)
        raise Raise("TypeError", f"{sig.name}() missing required arguments: {shown}")
    return given


_NO_FRAME = Frame(Code(name="", index=-1), 0, [], {}, [])
