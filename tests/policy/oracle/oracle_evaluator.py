"""A slow, obvious evaluator of the policy language, to compare the real one with.

It walks the syntax tree at every call, shares no code with the engine but the
tree itself, and represents a label set as which labels of a small known
universe are in it, and whether all the unnamed others are.
"""

# ruff: noqa: ANN001, ANN201 - generated values; the tree types are the interface

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from interlock.policy.syntax import nodes as n


class UnknownError(Exception):
    """The question has no computable answer."""


@dataclass(frozen=True)
class Bag:
    """Members among the known labels; `rest`: every label nobody mentioned."""

    members: frozenset
    rest: bool = False
    fresh: bool = field(default=False, compare=False)
    """The universal set nobody has assigned yet."""


@dataclass(frozen=True)
class Meta:
    tags: Bag
    producers: Bag
    consumers: Bag


@dataclass
class World:
    """Everything one evaluation reads and changes."""

    universe: frozenset
    lets: dict
    caller: object
    args: dict
    labels: dict
    session: Meta
    session_value: object = None
    result: Meta = None
    value: object = None
    bare: str = "session"
    broken: bool = False
    errors: int = 0

    def everything(self, fresh=False):
        return Bag(self.universe, True, fresh)

    def default(self):
        return Meta(Bag(frozenset()), Bag(frozenset()), self.everything(fresh=True))


# Label sets


def union(a, b):
    return Bag(a.members | b.members, a.rest or b.rest)


def meet(a, b):
    if a.fresh:
        return b
    if b.fresh:
        return a
    return Bag(a.members & b.members, a.rest and b.rest)


def minus(a, b):
    return Bag(a.members - b.members, a.rest and not b.rest)


def xor(a, b):
    return Bag(a.members ^ b.members, a.rest != b.rest)


@dataclass(frozen=True)
class Mixed:
    """A set with pattern elements."""

    plain: Bag
    patterns: tuple


def bag_of(world, item):
    """The value of a set expression: a Bag, or a Mixed when patterns are in it."""
    if isinstance(item, n.SetLiteral):
        return literal(world, item.elements)
    if isinstance(item, n.SetRef):
        return bag_of(world, world.lets[item.name].value)
    if isinstance(item, n.Alias):
        return bag_of(world, world.lets[item.name].value)
    if isinstance(item, n.Meta):
        return operand(world, item)
    if isinstance(item, n.SetOp):
        current = bag_of(world, item.items[0])
        for other in item.items[1:]:
            current = combine(world, item.op, current, bag_of(world, other))
        return current
    if isinstance(item, n.ElementOps):
        current = bag_of(world, item.base)
        for adds, element in item.steps:
            other = literal(world, (element,))
            current = combine(world, "union" if adds else "minus", current, other)
        return current
    return literal(world, (item,))


def literal(world, elements):
    texts = {e.text for e in elements if isinstance(e, n.StringElement)}
    plain = world.everything() if "*" in texts else Bag(frozenset(texts))
    patterns = tuple(e for e in elements if not isinstance(e, n.StringElement))
    return Mixed(plain, patterns) if patterns else plain


def combine(world, op, a, b):
    if isinstance(a, Bag) and isinstance(b, Bag):
        return {"union": union, "intersect": meet, "minus": minus, "xor": xor}[op](a, b)
    if op == "union":
        a, b = mixed(a), mixed(b)
        return Mixed(union(a.plain, b.plain), a.patterns + b.patterns)
    if isinstance(a, Mixed):
        a, b = b, a
    if op == "intersect":
        return keep(world, a, b)
    return drop(world, a, b)


def mixed(value):
    return value if isinstance(value, Mixed) else Mixed(value, ())


def covered(label, wanted):
    return label in wanted.plain.members or any(scalar_in(label, p) for p in wanted.patterns)


def known_language(pattern):
    """The strings a pattern matches, when they are finitely many and evident."""
    if isinstance(pattern, n.NumberElement | n.BoolDomain | n.NumberDomain):
        return set()
    if isinstance(pattern, n.StrDomain) and pattern.kind == "exact":
        return {pattern.text} if scalar_in(pattern.text, pattern) else set()
    text = wildcard_text(pattern)
    if text is not None and "*" not in text and "?" not in text:
        return {text}
    return None


def wildcard_text(pattern):
    if isinstance(pattern, n.WildcardElement):
        return pattern.text
    if isinstance(pattern, n.StrDomain) and pattern.kind == "like" and pattern.length is None:
        return pattern.text
    return None


def regex_text(pattern):
    if isinstance(pattern, n.RegexElement):
        return pattern.text
    if isinstance(pattern, n.StrDomain) and pattern.kind == "matching" and pattern.length is None:
        return pattern.text
    return None


def matches_every_string(pattern):
    text = wildcard_text(pattern)
    if text is not None and text and set(text) == {"*"}:
        return True
    return regex_text(pattern) in {".*", "^.*$", "^.*", ".*$"}


def endless(pattern):
    return matches_every_string(pattern) or "*" in (wildcard_text(pattern) or "")


def keep(world, a, wanted):
    if not a.rest:
        return Bag(frozenset(x for x in a.members if covered(x, wanted)))
    if any(matches_every_string(p) for p in wanted.patterns):
        return a
    return meet(a, finite_part(wanted))


def drop(world, a, wanted):
    if not a.rest:
        return Bag(frozenset(x for x in a.members if not covered(x, wanted)))
    if any(matches_every_string(p) for p in wanted.patterns):
        return Bag(frozenset())
    return minus(a, finite_part(wanted))


def finite_part(wanted):
    bag = wanted.plain
    for pattern in wanted.patterns:
        language = known_language(pattern)
        if language is None:
            raise UnknownError
        bag = union(bag, Bag(frozenset(language)))
    return bag


def overlaps(world, a, wanted):
    wanted = mixed(wanted)
    if a.members & wanted.plain.members or (a.rest and wanted.plain.rest):
        return True
    if not a.rest:
        return any(scalar_in(x, p) for x in a.members for p in wanted.patterns)
    unknown = False
    for pattern in wanted.patterns:
        language = known_language(pattern)
        if language is not None:
            if any(x in a.members for x in language):
                return True
        elif a.members == world.universe or endless(pattern):
            return True
        else:
            unknown = True
    if unknown:
        raise UnknownError
    return False


def subset(world, a, wanted):
    wanted = mixed(wanted)
    if not a.rest:
        return all(covered(x, wanted) for x in a.members)
    if any(matches_every_string(p) for p in wanted.patterns):
        return True
    return wanted.plain.rest and all(covered(x, wanted) for x in a.members)


def superset(world, a, wanted):
    wanted = mixed(wanted)
    if not wanted.plain.members <= a.members or (wanted.plain.rest and not a.rest):
        return False
    return all(overlaps(world, a, Mixed(Bag(frozenset()), (p,))) for p in wanted.patterns)


def operand(world, item):
    scope = world.bare if item.scope == "bare" else item.scope
    if scope == "caller":
        held = getattr(world.caller, item.field)
        return Bag(held if isinstance(held, frozenset) else frozenset({held} - {""}))
    if scope == "session":
        return getattr(world.session, item.field)
    if scope == "result":
        return getattr(world.result, item.field)
    if scope == "argument":
        meta = world.labels.get(item.name) if item.name in world.args else None
        return getattr(meta or world.default(), item.field)
    bags = [getattr(world.labels.get(a) or world.default(), item.field) for a in world.args]
    if item.name == "intersect":
        if not bags:
            return getattr(world.default(), item.field)
        total = bags[0]
        for bag in bags[1:]:
            total = meet(total, bag)
        return total
    total = Bag(frozenset())
    for bag in bags:
        total = union(total, bag)
    return total


# Values


def value_of(world, item):
    if isinstance(item, n.Literal_):
        return parse_time(item.value) if item.kind == "datetime" else item.value
    if item.scope == "argument":
        return world.args.get(item.name)
    return world.value if item.scope == "result" else world.session_value


def parse_time(value):
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        if value != value or abs(value) > 1e10:
            return None
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return None


def inside(value, within):
    if within.low is not None and (value < within.low or (within.low_open and value == within.low)):
        return False
    if within.high is None:
        return True
    return value < within.high or (value == within.high and not within.high_open)


def number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def scalar_in(value, e):
    """Whether one single value is matched by one element."""
    if isinstance(e, n.StringElement):
        return isinstance(value, str) and value == e.text
    if isinstance(e, n.NumberElement):
        return number(value) and value == e.value
    if isinstance(e, n.BoolDomain):
        return isinstance(value, bool) and value == e.value
    if isinstance(e, n.NumberDomain):
        return (
            number(value)
            and (e.kind == "float" or isinstance(value, int))
            and inside(value, e.range)
        )
    if isinstance(e, n.RegexElement):
        return isinstance(value, str) and re.fullmatch(e.text, value, re.DOTALL) is not None
    if isinstance(e, n.WildcardElement):
        return isinstance(value, str) and wild(e.text, value)
    if isinstance(e, n.StrDomain):
        if not isinstance(value, str) or (e.length and not inside(len(value), e.length)):
            return False
        if e.kind == "exact":
            return value == e.text
        if e.kind == "like":
            return wild(e.text, value)
        return re.fullmatch(e.text, value, re.DOTALL) is not None
    at = parse_time(value)
    if at is None:
        return False
    if isinstance(e, n.TimeExact):
        return at == parse_time(e.value)
    low, high = parse_time(e.low), parse_time(e.high)
    if low is not None and (at < low or (e.low_open and at == low)):
        return False
    return high is None or at < high or (at == high and not e.high_open)


def wild(pattern, text):
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(wild(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[0] in {"?", text[0]} and wild(pattern[1:], text[1:])


def member(world, value, wanted):
    wanted = mixed(wanted)
    if isinstance(value, list | tuple | set | frozenset):
        return len(value) > 0 and all(member(world, item, wanted) for item in value)
    if value is None or isinstance(value, dict):
        return False
    if isinstance(value, str):
        plain = value in wanted.plain.members or (wanted.plain.rest and value not in world.universe)
    else:
        plain = wanted.plain.rest
    return plain or any(scalar_in(value, p) for p in wanted.patterns)


def equal(a, b):
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, list):
        return bool(a) and not isinstance(b, dict) and all(equal(x, b) for x in a)
    if isinstance(b, list):
        return equal(b, a)
    if isinstance(a, datetime) or isinstance(b, datetime):
        return parse_time(a) is not None and parse_time(a) == parse_time(b)
    for kind in (bool, str, (int, float)):
        if isinstance(a, kind) and isinstance(b, kind):
            return isinstance(a, bool) == isinstance(b, bool) and a == b
    return False


# Conditions


def holds(world, item):
    if isinstance(item, n.BoolConst):
        return item.value
    if isinstance(item, n.PredicateRef | n.Alias):
        return holds(world, world.lets[item.name].value)
    if isinstance(item, n.Not):
        return not holds(world, item.item)
    if isinstance(item, n.And):
        return all(holds(world, part) for part in item.items)
    if isinstance(item, n.Or):
        return any(holds(world, part) for part in item.items)
    if isinstance(item, n.ValueIn):
        return member(world, value_of(world, item.value), bag_of(world, item.within))
    if isinstance(item, n.ValueEquals):
        return equal(value_of(world, item.left), value_of(world, item.right))
    left = operand(world, item.operand if isinstance(item, n.SetIs) else item.left)
    if isinstance(item, n.SetIs):
        if item.what == "empty":
            return not left.members and not left.rest
        return left.members == world.universe and left.rest
    right = bag_of(world, item.right)
    if item.op == "equals":
        return subset(world, left, right) and superset(world, left, right)
    return {"overlaps": overlaps, "subset": subset, "superset": superset}[item.op](
        world, left, right
    )


# Updates


def run_statements(world, statements, where):
    world.bare = "result" if where == "result" else "session"
    for statement in statements:
        if isinstance(statement, n.Update):
            run_update(world, statement, cautious=False)
            continue
        try:
            if not holds(world, statement.condition):
                continue
            cautious = False
        except UnknownError:
            world.errors += 1
            cautious = True
        for update in statement.updates:
            run_update(world, update, cautious)
    world.bare = "session"


def run_update(world, update, cautious):
    target = update.target
    scope = world.bare if target.scope == "bare" else target.scope
    before = operand(world, n.Meta(scope, target.field, target.name))
    try:
        after = new_bag(world, update, scope, before)
    except UnknownError:
        world.errors += 1
        world.broken = True
        after = Bag(frozenset()) if target.field == "consumers" else before
    if cautious:
        after = meet(before, after) if target.field == "consumers" else union(before, after)
    after = Bag(after.members, after.rest)
    if scope == "session":
        world.session = replace(world.session, **{target.field: after})
    elif scope == "result":
        world.result = replace(world.result, **{target.field: after})
    elif target.name in world.args:
        held = world.labels.get(target.name) or world.default()
        world.labels = {**world.labels, target.name: replace(held, **{target.field: after})}


def new_bag(world, update, scope, before):
    if update.op == "=":
        return assigned(world, update, scope)
    value = bag_of(world, update.value)
    if update.op == "|=":
        return value if before.fresh else union(before, value)
    name = {"&=": "intersect", "-=": "minus", "^=": "xor"}[update.op]
    return combine(world, name, before, value)


def assigned(world, update, scope):
    """`T = T | S` and `T = T with e` count as `T |= ...` while T is the fresh default."""
    item, joins = update.value, []
    while isinstance(item, n.SetOp | n.ElementOps):
        if isinstance(item, n.SetOp) and item.op == "union":
            joins = [*item.items[1:], *joins]
            item = item.items[0]
        elif isinstance(item, n.ElementOps) and all(adds for adds, _ in item.steps):
            joins = [*(n.SetLiteral((e,)) for _, e in item.steps), *joins]
            item = item.base
        else:
            break
    target = update.target
    is_target = isinstance(item, n.Meta) and (
        (world.bare if item.scope == "bare" else item.scope),
        item.field,
        item.name,
    ) == (scope, target.field, target.name)
    if joins and is_target and operand(world, item).fresh:
        total = Bag(frozenset())
        for part in joins:
            total = union(total, bag_of(world, part))
        return total
    return bag_of(world, update.value)


# Decisions


@dataclass
class Declared:
    tool: n.ToolId
    priority: int
    order: int
    members: tuple


def declared(program, tool):
    """The declarations about a tool, each rule with its number; shorthands written out."""
    found, numbers = [], {}
    for order, item in enumerate(program.declarations):
        if isinstance(item, n.Let):
            continue
        if isinstance(item, n.Shorthand):
            update = n.Update(n.Target("bare", item.field), item.op, item.value)
            statement = n.Conditional(item.condition, (update,)) if item.condition else update
            members = (n.UpdateBlock(item.where, (statement,)),)
            priority = item.priority or 0
        else:
            priority, members = 0, []
            for part in item.members:
                if isinstance(part, n.Priority):
                    priority = part.value
                elif isinstance(part, n.CheckRule):
                    count = numbers.get(item.id, 0)
                    numbers[item.id] = count + 1
                    members.append((f"{item.id.text}#{count}", part))
                else:
                    members.append(part)
        matches = re.fullmatch(item.id.text, tool) if item.id.regex else item.id.text == tool
        if matches:
            found.append(Declared(item.id, priority, order, tuple(members)))
    return sorted(found, key=lambda d: (-d.priority, d.order))


@dataclass
class Answer:
    verdict: str
    rule: str | None
    reason: str
    denied: list
    allowed: list


def decide(program, world, tool, presets, mode):
    """The verdict; `world` keeps what the updates before it left."""
    found = declared(program, tool)
    for item in found:
        for block in item.members:
            if isinstance(block, n.UpdateBlock) and block.where == "before":
                run_statements(world, block.statements, "before")
    denied, allowed, soft, hard_allow, hard_deny = [], [], None, None, None
    has_allow = False
    rules = [pair for item in found for pair in item.members if isinstance(pair, tuple)]
    for _, rule in rules:
        has_allow = has_allow or rule.outcome == "allow"
    for name, rule in rules:
        try:
            fired = rule.condition is None or holds(world, rule.condition)
        except UnknownError:
            world.errors += 1
            fired = rule.outcome == "deny"
        if not fired:
            continue
        (denied if rule.outcome == "deny" else allowed).append(name)
        if rule.level == "soft":
            soft = soft or (name, rule)
        elif rule.outcome == "allow":
            hard_allow = hard_allow or name
        else:
            hard_deny = hard_deny or name
            if presets.fail_fast:
                break
    if hard_deny:
        return Answer("hard_denied", hard_deny, "rule", denied, allowed)
    if world.broken or (mode == "strict" and world.errors):
        return Answer("hard_denied", None, "error", denied, allowed)
    if hard_allow:
        return Answer("hard_allowed", hard_allow, "rule", denied, allowed)
    default = "allowed" if presets.default_allow else "denied"
    if not has_allow and presets.default_allow_enforcement_level == "hard":
        return Answer(f"hard_{default}", None, "default", denied, allowed)
    if soft:
        verdict = "soft_denied" if soft[1].outcome == "deny" else "soft_allowed"
        return Answer(verdict, soft[0], "rule", denied, allowed)
    if has_allow:
        return Answer("soft_denied", None, "allow_list", denied, allowed)
    return Answer(f"soft_{default}", None, "default", denied, allowed)


def finish(program, world, tool):
    """Runs what follows a result."""
    found = declared(program, tool)
    for where in ("result", "after"):
        for item in found:
            for block in item.members:
                if isinstance(block, n.UpdateBlock) and block.where == where:
                    run_statements(world, block.statements, where)
