"""What an expression at the top level of a module may do, and what its names stand for.

Knows only what the same file says of a name. Raises `Unsure` at what it can't prove harmless.
"""

import ast
import builtins
import sys
from dataclasses import dataclass, field
from typing import Literal, Self

from supervisor.watch.imports.harmless import (
    CALLED_BY_CLASSES,
    CALLED_BY_USE,
    CALLS,
    DECORATORS,
    MARKS,
    METHODS,
    OF_NO_DISK,
    OF_THE_INTERPRETER,
    OF_THE_MOMENT,
    PATHS,
    SAID,
)

_PARTS = (ast.expr, ast.comprehension, ast.keyword)
_PASSIVE = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.Tuple),
    *(ast.List, ast.Set, ast.Dict, ast.JoinedStr, ast.FormattedValue, ast.BinOp, ast.UnaryOp),
    *(ast.BoolOp, ast.Compare, ast.IfExp, ast.ListComp, ast.SetComp, ast.DictComp),
    *(ast.GeneratorExp, ast.comprehension, ast.keyword),
)
_LITERAL = (
    *(ast.Constant, ast.List, ast.Set, ast.Dict, ast.Tuple, ast.JoinedStr),
    *(ast.ListComp, ast.SetComp, ast.DictComp),
)
Kind = Literal["", "literal", "path", "file", "function", "class", "enum"]
ITEM = "[]"  # as the last part of a name: something is looked up in it
_MOMENTS = {"os", "sys", "__main__", "environ", "environb", "argv"}


class Unsure(Exception):  # noqa: N818 - not an error: the reading ends here
    """Why what follows can't be foreseen, and where."""

    def __init__(self, node: ast.AST, why: str) -> None:
        super().__init__(why)
        self.line: int = getattr(node, "lineno", 0)
        self.why = why


@dataclass(slots=True)
class Notes:
    """What all scopes of one file say of it.

    `timely`: it looks at what may be otherwise at another time or in another generation. `bases`:
    the full names of what its classes are made of; "?" for what no import or class says. `used`:
    the full names of all that it looks at.
    """

    timely: bool = False
    bases: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


class Values:
    """The names of one scope: where they come from, and what kind of value they hold."""

    def __init__(self, notes: Notes | None = None) -> None:
        self.notes = notes or Notes()
        self.origins: dict[str, str] = {}
        self.kinds: dict[str, Kind] = {}
        self.bound: set[str] = set()
        self.starred = False
        self.lazy_annotations = False
        self.in_class = False

    def inner(self) -> Self:
        """Return the names as a class body sees and rebinds them, without those outside."""
        copy = type(self)(self.notes)
        copy.origins, copy.kinds, copy.bound = dict(self.origins), {}, set(self.bound)
        copy.starred, copy.lazy_annotations = self.starred, self.lazy_annotations
        copy.in_class = True
        return copy

    def bind(self, node: ast.AST, name: str, *, origin: str = "", kind: Kind = "") -> None:
        """Note what a name now stands for. Raises: Unsure if Python itself reads it."""
        special = name.startswith("__") and name.endswith("__") and name not in SAID
        if name in CALLED_BY_CLASSES if self.in_class else special:
            raise Unsure(node, f"{name} is set")
        self.unbind(name)
        self.bound.add(name)
        if origin:
            self.origins[name] = origin
        if kind:
            self.kinds[name] = kind

    def unbind(self, name: str) -> None:
        """Forget what a name stood for."""
        self.origins.pop(name, None)
        self.kinds.pop(name, None)

    def assign(self, target: ast.expr, value: ast.expr | None) -> None:
        """Bind a target to a value, or to an unknown one. Raises: Unsure if others may see it."""
        match target:
            case ast.Name():
                kind: Kind = "" if value is None else self.kind(value)
                origin = "" if value is None else self.dotted(value) or ""
                self.bind(target, target.id, origin=origin, kind=kind)
            case ast.Tuple() | ast.List():
                for each in target.elts:
                    self.assign(each, None)
            case ast.Starred():
                self.assign(target.value, None)
            case ast.Subscript(value=ast.Name() as holder) if self.kind(holder) == "literal":
                self.check(target.slice)
            case _:
                raise Unsure(target, f"{self._said(target)} is set, which others may see")

    def dotted(self, node: ast.expr) -> str | None:
        """Return the full name of what an expression means, if imports or builtins say it."""
        match node:
            case ast.Name(id=name):
                if self.starred:
                    return None
                if name in self.origins:
                    return self.origins[name]
                return f"builtins.{name}" if name not in self.bound and _builtin(name) else None
            case ast.Attribute(value=value, attr=attr):
                base = self.dotted(value)
                return base and f"{base}.{attr}"
        return None

    def kind(self, node: ast.expr) -> Kind:
        """Return which kind of value an expression surely has."""
        match node:
            case ast.Name(id=name):
                return self.kinds.get(name, "")
            case ast.BinOp(left=left, op=ast.Div()):
                return "path" if self.kind(left) == "path" else ""
            case ast.Attribute(value=value, attr="parent"):
                return "path" if self.kind(value) == "path" else ""
            case ast.Subscript(value=ast.Attribute(value=value, attr="parents")):
                return "path" if self.kind(value) == "path" else ""
            case ast.Call(func=func):
                return self._kind_of_call(func)
        return "literal" if isinstance(node, _LITERAL) else ""

    def _kind_of_call(self, func: ast.expr) -> Kind:
        name = self.dotted(func)
        if name == "builtins.open":
            return "file"
        if name and name.startswith("pathlib."):
            return "path"
        if name in {"builtins.dict", "builtins.list", "builtins.set", "builtins.str"}:
            return "literal"
        method = isinstance(func, ast.Attribute) and self.kind(func.value) == "path"
        if isinstance(func, ast.Attribute) and method:
            return "file" if func.attr == "open" else "path" if func.attr in PATHS else ""
        return ""

    def check(self, node: ast.AST) -> None:
        """Look through an expression that is evaluated. Raises: Unsure."""
        match node:
            case ast.Name() | ast.Attribute() | ast.Subscript() if self._uses(node):
                return
            case ast.Lambda(args=arguments):
                for default in filter(None, (*arguments.defaults, *arguments.kw_defaults)):
                    self.check(default)
                return
            case ast.NamedExpr():
                self.check(node.value)
                self.assign(node.target, None)
                return
            case ast.Call():
                self._call(node)
            case ast.comprehension():
                self._target(node.target)
            case _ if not isinstance(node, _PASSIVE):
                raise Unsure(node, f"{type(node).__name__} is not understood")
        for part in ast.iter_child_nodes(node):
            if isinstance(part, _PARTS):
                self.check(part)

    def _uses(self, node: ast.expr) -> bool:
        """Note what is looked at; return whether that is all."""
        item = isinstance(node, ast.Subscript)
        name = self.dotted(node.value if isinstance(node, ast.Subscript) else node)
        if name is None:
            return False
        self.notes.timely |= of_the_moment(name)
        if not name.startswith("builtins."):
            self.notes.used.add(f"{name}.{ITEM}" if item else name)
        return not item

    def _target(self, target: ast.expr) -> None:
        for each in ast.walk(target):
            if isinstance(each, ast.Name) and (self.dotted(each) or self.kind(each)):
                raise Unsure(each, f"{each.id} has two meanings")

    def check_base(self, node: ast.expr) -> None:
        """Look at what a class is made of. Raises: Unsure."""
        self.check(node)
        base = node.value if isinstance(node, ast.Subscript) else node
        name = self.dotted(base)
        if name is None and self.kind(base) not in {"class", "enum"}:
            name = "?"
        if name is not None:
            self.notes.bases.append(name)

    def check_mixed(self, bases: list[ast.expr]) -> bool:
        """Return whether a class of these is an enum. What it is mixed with makes its members."""
        names = [self.dotted(base) or "" for base in bases]
        enums = [
            name.startswith("enum.") or self.kind(base) == "enum"
            for name, base in zip(names, bases, strict=True)
        ]
        others = {name for name, is_enum in zip(names, enums, strict=True) if not is_enum}
        self.notes.timely |= any(enums) and not all(n.startswith("builtins.") for n in others)
        return any(enums)

    def check_method(self, method: ast.FunctionDef, *, of_enum: bool) -> None:
        """Look into a method that may be called without a call: `A[int]`, `f"{Color.RED}"`."""
        self.notes.timely |= method.name in CALLED_BY_USE
        if not of_enum or not (method.decorator_list or method.name.startswith("__")):
            return
        for node in ast.walk(method):
            match node:
                case ast.Import() | ast.ImportFrom():
                    self.notes.timely = True
                case ast.Name() | ast.Attribute() if self._uses(node):
                    pass
                case ast.Call(func=ast.Attribute(attr=attr)) if attr in METHODS["literal"]:
                    pass
                case ast.Call(func=func) if self.dotted(func) not in CALLS - OF_THE_MOMENT:
                    self.notes.timely = True

    def check_decorator(self, node: ast.expr) -> None:
        """Look at a decorator, which is called. Raises: Unsure."""
        self.check(node)
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr="setter" | "getter" | "deleter"):
                if name in self.bound and name not in self.origins:
                    return
        if self.dotted(node.func if isinstance(node, ast.Call) else node) not in DECORATORS:
            raise Unsure(node, f"@{self._said(node)} is called")

    def _call(self, node: ast.Call) -> None:
        if any(keyword.arg in {"key", None} for keyword in node.keywords):
            raise Unsure(node, f"{self._said(node.func)} may call what it is given")
        name = self.dotted(node.func) or ""
        self._check_marks(name, node)
        if name == "collections.defaultdict":
            # It calls its first argument later, and `d[x]` does not look like a call.
            for made_by in node.args[:1]:
                self._call(ast.Call(made_by, [], []))
        if name.startswith(("json.", "tomllib.")) and node.keywords:
            raise Unsure(node, f"{name} may call what it is given")
        if name in CALLS:
            self.notes.timely |= name in OF_THE_MOMENT
            return
        if name == "builtins.open" and _reads(node.args[1:], node.keywords):
            self.notes.timely = True
            return
        if isinstance(node.func, ast.Attribute):
            kind = self.kind(node.func.value)
            self.notes.timely |= kind != "literal" and node.func.attr not in OF_NO_DISK
            if node.func.attr in METHODS.get(kind, ()):
                return
            if kind == "path" and node.func.attr == "open" and _reads(node.args, node.keywords):
                return
        raise Unsure(node, f"{self._said(node.func)} is called")

    def _check_marks(self, name: str, node: ast.Call) -> None:
        if name in MARKS and any(self.dotted(each) for each in node.args):
            raise Unsure(node, f"{name} changes what others may see")

    def _said(self, node: ast.expr) -> str:
        # Never the text of arguments or constants: a token may stand there.
        match node:
            case ast.Name(id=name):
                return name
            case ast.Attribute(value=value, attr=attr):
                return f"{self._said(value)}.{attr}"
            case ast.Subscript(value=value):
                return f"{self._said(value)}[...]"
            case ast.Call(func=func):
                return f"{self._said(func)}(...)"
        return "something"


def truth(test: ast.expr, values: Values, version: tuple[int, int]) -> bool | None:
    """Return what a condition surely is, with an interpreter of this version on our system."""
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            known = truth(operand, values, version)
            return None if known is None else not known
        case ast.Name() | ast.Attribute():
            return False if values.dotted(test) == "typing.TYPE_CHECKING" else None
        case ast.Compare(left=left, ops=[op], comparators=[ast.Constant(value=str(value))]):
            is_ours = {"sys.platform": sys.platform, "os.name": "posix"}.get(
                values.dotted(left) or ""
            )
            if is_ours is not None and isinstance(op, ast.Eq | ast.NotEq):
                return (is_ours == value) is isinstance(op, ast.Eq)
        case ast.Compare(left=left, ops=[op], comparators=[ast.Tuple(elts=elements)]):
            numbers = tuple(each.value for each in elements if isinstance(each, ast.Constant))
            # Compared with the two first numbers only: (3, 12, 1) is no business of ours.
            if values.dotted(left) == "sys.version_info" and len(numbers) == len(elements) <= 2:  # noqa: PLR2004 - said above
                return _compared(op, version, numbers)
    return None


def _compared(op: ast.cmpop, version: tuple[int, int], numbers: tuple[object, ...]) -> bool | None:
    # `sys.version_info` is longer than the tuple, hence greater where the first numbers agree.
    ours = (*version, 0)
    if not all(isinstance(number, int) for number in numbers):
        return None
    given = tuple(number for number in numbers if isinstance(number, int))
    match op:
        case ast.GtE() | ast.Gt():
            return ours > given
        case ast.Lt() | ast.LtE():
            return ours < given
    return None


def _reads(positional: list[ast.expr], keywords: list[ast.keyword]) -> bool:
    modes = [*positional[:1], *(each.value for each in keywords if each.arg == "mode")]
    opened_by_others = any(each.arg in {"opener", None} for each in keywords)
    return not opened_by_others and all(
        isinstance(mode, ast.Constant) and mode.value in {"r", "rb", "rt"} for mode in modes
    )


def of_the_moment(name: str) -> bool:
    """Return whether what has this full name may be otherwise at another time."""
    first, *rest = name.split(".")
    if first == "sys":
        return ".".join([first, *rest[:1]]) not in OF_THE_INTERPRETER
    # By another module's name for it too; and not under a name that says nothing.
    if name in {"os", "__main__"} or _MOMENTS.intersection(rest):
        return True
    return name.startswith(("os.__dict__", "__main__."))


def _builtin(name: str) -> bool:
    return hasattr(builtins, name)
