"""One file of the project, read as the imports that it makes, in order, and where that ends.

Reads the text alone: no path is looked up and nothing is run. What can't be judged is a `Stop`.
"""

import ast
import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from supervisor.watch.imports.harmless import (
    CALLED_BY_CLASSES,
    CALLED_BY_ENUMS,
    METACLASSES,
)
from supervisor.watch.imports.parsing import parsed
from supervisor.watch.imports.values import Unsure, Values, truth

CATCHES_IMPORTS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
MIXED = "whether what is imported here is imported is not known before"
Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Import:
    """`import module`, or with `names` (`*` is one) `from module import names`."""

    line: int
    module: str
    names: tuple[str, ...] = ()
    level: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """From here on, what runs may decide what later imports find."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A `try` with imports: `handler` runs when a module is missing (None: nobody catches that).

    `plain`: nothing in `body` can fail but for that. `risky`: a handler does more than give up.
    """

    line: int
    body: "tuple[Step, ...]"
    handler: "tuple[Step, ...] | None"
    orelse: "tuple[Step, ...]"
    final: "tuple[Step, ...]"
    plain: bool
    risky: bool


@dataclass(frozen=True, slots=True)
class WhenMain:
    """`if __name__ == "__main__"`: `body` where it is the program, `orelse` where it is not."""

    body: "tuple[Step, ...]"
    orelse: "tuple[Step, ...]"


Step = Import | Stop | Attempt | WhenMain


@dataclass(frozen=True, slots=True)
class Reading:
    """The steps of a file, and what its __all__ names; "?" for what is not written down.

    `timely`, `bases`, `used`: see `Notes`; a file that can't be read is timely. `classes`, `enums`:
    the names of those that it defines; `names`: all that it binds; `origins`: what those mean that
    stand for something of another module. `lists_classes`: it asks what was made of a class.
    """

    steps: tuple[Step, ...]
    listed: tuple[str, ...] = ()
    timely: bool = True
    bases: tuple[str, ...] = ()
    classes: frozenset[str] = frozenset()
    enums: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    origins: Mapping[str, str] = field(default_factory=dict)
    lists_classes: bool = False


def read(source: bytes, version: Version) -> Reading:
    """Read a file as an interpreter of this version would run it."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        return Reading((Stop(line, "it can't be compiled"),))
    reader = _Reader(version)
    steps = reader.block(tree.body)
    values = reader.values
    classes, enums = (
        frozenset(name for name, kind in values.kinds.items() if kind == wanted)
        for wanted in ("class", "enum")
    )
    notes = values.notes
    return Reading(
        tuple(steps),
        tuple(reader.listed),
        notes.timely,
        tuple(notes.bases),
        classes,
        enums,
        frozenset(values.bound),
        frozenset(notes.used),
        values.origins,
        b"__subclasses__" in source,
    )


class _Reader:
    """Goes through the statements of one module in the order in which they run."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.values = Values()
        self.listed: list[str] = []

    def block(self, statements: Sequence[ast.stmt]) -> list[Step]:
        steps: list[Step] = []
        for statement in statements:
            try:
                steps += self._statement(statement)
            except Unsure as error:
                return [*steps, Stop(error.line or statement.lineno, error.why)]
            except RecursionError:
                return [*steps, Stop(statement.lineno, "it is nested too deeply")]
        return steps

    def _statement(self, node: ast.stmt) -> list[Step]:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise Unsure(node, f"a {type(node).__name__.lower()} statement is not understood")
        return method(node) or []

    # What imports.

    def _import(self, node: ast.Import) -> list[Step]:
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            self.values.bind(node, bound, origin=alias.name if alias.asname else bound)
        return [Import(node.lineno, alias.name) for alias in node.names]

    def _importfrom(self, node: ast.ImportFrom) -> list[Step]:
        module = node.module or ""
        if module == "__future__" and not node.level:
            self.values.lazy_annotations |= any(a.name == "annotations" for a in node.names)
            return []
        names = tuple(alias.name for alias in node.names)
        for alias in node.names:
            if alias.name == "*":
                self.values.starred = self.values.notes.timely = True
                self.values.kinds.clear()  # any name may be another thing now
            else:
                origin = f"{'.' * node.level}{module}.{alias.name}"
                self.values.bind(node, alias.asname or alias.name, origin=origin)
        return [Import(node.lineno, module, names, node.level)]

    # What binds names.

    def _assign(self, node: ast.Assign) -> None:
        self.values.check(node.value)
        for target in node.targets:
            self.values.assign(target, node.value)
            self._note_all(target, node.value)

    def _annassign(self, node: ast.AnnAssign) -> None:
        if not self.values.lazy_annotations:
            self.values.check(node.annotation)
        if node.value is not None:
            self.values.check(node.value)
            self.values.assign(node.target, node.value)

    def _augassign(self, node: ast.AugAssign) -> None:
        self.values.check(node.value)
        # In place, it would change what another module may hold too.
        if not (isinstance(node.target, ast.Name) and self.values.kind(node.target) == "literal"):
            raise Unsure(node, "a value is changed that others may see")
        self._note_all(node.target, node.value)

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Name):
                raise Unsure(node, "something is deleted that others may see")
            self.values.unbind(target.id)

    def _typealias(self, node: ast.stmt) -> None:
        self.values.bind(node, node.name.id)  # type: ignore[attr-defined] # Python 3.12 knows it

    def _note_all(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name) and target.id == "__all__":
            names = value.elts if isinstance(value, ast.List | ast.Tuple) else []
            self.listed += [
                str(name.value) if isinstance(name, ast.Constant) else "?" for name in names
            ] or ["?"]

    # What is defined.

    def _functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name == "__getattr__" and not self.values.in_class:
            raise Unsure(node, "the module answers for its own attributes")
        for decorator in node.decorator_list:
            self.values.check_decorator(decorator)
        arguments = node.args
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.values.check(default)
        named = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        rest = (each for each in (arguments.vararg, arguments.kwarg) if each)
        notes = (*(each.annotation for each in (*named, *rest)), node.returns)
        if not self.values.lazy_annotations:
            for note in notes:
                if note is not None:
                    self.values.check(note)
        self.values.bind(node, node.name, kind="function")

    _asyncfunctiondef = _functiondef

    def _classdef(self, node: ast.ClassDef) -> list[Step]:
        bases = [self.values.dotted(base) or "" for base in node.bases]
        for base in node.bases:
            self.values.check_base(base)
        for keyword in node.keywords:
            self.values.check(keyword.value)
        makers = [keyword.value for keyword in node.keywords if keyword.arg == "metaclass"]
        known = {self.values.dotted(maker) for maker in makers} <= {"abc.ABCMeta", "enum.EnumMeta"}
        if not known or METACLASSES.intersection(bases):
            raise Unsure(node, f"the class {node.name} decides how classes are made")
        is_enum = self.values.check_mixed(node.bases)
        called = CALLED_BY_CLASSES | CALLED_BY_ENUMS if is_enum else CALLED_BY_CLASSES
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name in called:
                raise Unsure(part, f"{node.name}.{part.name} runs whenever a class is made of it")
            if isinstance(part, ast.FunctionDef):
                self.values.check_method(part, of_enum=is_enum)
        for decorator in node.decorator_list:
            self.values.check_decorator(decorator)
        outside, self.values = self.values, self.values.inner()
        steps = self.block(node.body)
        self.values = outside
        self.values.bind(node, node.name, kind="enum" if is_enum else "class")
        return steps

    # What only evaluates, or does nothing.

    def _expr(self, node: ast.Expr) -> None:
        self.values.check(node.value)

    def _assert(self, node: ast.Assert) -> None:
        self.values.check(node.test)

    def _pass(self, _: ast.stmt) -> None:
        """Nothing happens."""

    _break = _continue = _pass

    # What may or may not run.

    def _if(self, node: ast.If) -> list[Step]:
        if _asks_for_main(node.test):
            (body,), (orelse,) = self._branches(node, [node.body], [node.orelse])
            return [WhenMain(body, orelse)]
        known = truth(node.test, self.values, self.version)
        if known is not None:
            return self.block(node.body if known else node.orelse)
        self.values.check(node.test)
        self._quiet(node, node.body, node.orelse)
        return []

    def _for(self, node: ast.For) -> None:
        self.values.check(node.iter)
        self._forget(node)
        self.values.assign(node.target, None)
        self._quiet(node, node.body, node.orelse)

    def _while(self, node: ast.While) -> None:
        self._forget(node)
        self.values.check(node.test)
        self._quiet(node, node.body, node.orelse)

    def _with(self, node: ast.With) -> None:
        for item in node.items:
            self.values.check(item.context_expr)
            called = isinstance(item.context_expr, ast.Call) and item.context_expr.func
            name = called and self.values.dotted(called)
            kind = self.values.kind(item.context_expr)
            if name != "contextlib.suppress" and kind != "file":
                raise Unsure(node, "what this `with` does is not known before")
            if item.optional_vars is not None:
                self.values.assign(item.optional_vars, item.context_expr)
        self._quiet(node, node.body)

    def _try(self, node: ast.Try) -> list[Step]:
        handlers = node.handlers
        (body, orelse), *others = self._branches(
            node, [node.body, node.orelse], *([each.body] for each in handlers)
        )
        handled = [steps for (steps,) in others]
        final = self._branch(node.finalbody)
        if not (body or orelse or final or any(handled)):
            return []
        caught = None
        for each, steps in zip(handlers, handled, strict=True):
            catches = _catches(each)
            if catches is not False:
                caught = steps if catches else (Stop(each.lineno, "what it catches is not known"),)
                break
        plain = all(isinstance(each, ast.Import) for each in node.body)
        risky = any(
            steps and not _ends(each) for each, steps in zip(handlers, handled, strict=True)
        )
        return [Attempt(node.lineno, body, caught, orelse, final, plain, risky)]

    def _branches(
        self, node: ast.stmt, *ways: Sequence[Sequence[ast.stmt]]
    ) -> list[list[tuple[Step, ...]]]:
        # Each way is blocks that run one after the other. A name keeps its meaning only where all
        # ways give it the same.
        self._forget(node)
        before, ends, found = dict(self.values.origins), [], []
        for blocks in ways:
            self.values.origins = dict(before)
            found.append([self._branch(block) for block in blocks])
            ends.append(set(self.values.origins.items()))
        self.values.origins = dict(set.intersection(*ends))
        self._forget(node)
        return found

    def _branch(self, statements: Sequence[ast.stmt]) -> tuple[Step, ...]:
        return tuple(self.block(statements))

    def _forget(self, node: ast.stmt) -> None:
        # What runs once, never or often may have any of these values by then.
        for each in ast.walk(node):
            name = None
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store | ast.Del):
                name = each.id
            elif isinstance(each, ast.ExceptHandler):
                name = each.name
            if name is not None:
                self.values.unbind(name)
                self.values.bound.add(name)

    def _quiet(self, node: ast.stmt, *blocks: Sequence[ast.stmt]) -> None:
        for block in blocks:
            for step in self.block(block):
                raise Unsure(node, step.why if isinstance(step, Stop) else MIXED)
            self._forget(node)  # the next one runs instead of it, or after it


def _asks_for_main(test: ast.expr) -> bool:
    match test:
        case ast.Compare(
            left=ast.Name(id="__name__"),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value="__main__")],
        ):
            return True
    return False


def _catches(handler: ast.ExceptHandler) -> bool | None:
    # None: it may catch a missing module, or not.
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {kind.id if isinstance(kind, ast.Name) else "" for kind in kinds if kind is not None}
    if None in kinds or names & CATCHES_IMPORTS:
        return True
    return False if all(hasattr(builtins, name) for name in names) else None


def _ends(handler: ast.ExceptHandler) -> bool:
    # Then what follows is only ever reached when nothing was caught.
    match handler.body[-1]:
        case ast.Raise():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="sys"), attr="exit"))):
            return True
    return False
