"""State that code of users keeps outside of attributes: in closures, default arguments, classes and modules.

No checkpoint has it, so that a resumed task begins with its first value; and a trial must not leave it changed.
"""

from __future__ import annotations

import builtins
import dis
import functools
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from hpcmtl.training.contents import (
    CONTAINERS,
    UNSET,
    Contents,
    has_attributes,
    is_foreign,
    is_foreign_module,
)
from hpcmtl.training.in_place import set_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MOST = 10_000  # objects that are looked into; what users' code holds beside its data is far less
_WRAPPERS = (staticmethod, classmethod, functools._lru_cache_wrapper)  # noqa: SLF001 - has no other name


@dataclass(frozen=True)
class _Place:
    """Names a place that holds a value: a variable of a closure, or an entry of a namespace.

    Attributes:
        name: name for a message.
        get: returns the value now; `UNSET` for none.
        put: sets the value; `UNSET` removes it.
    """

    name: str
    get: Callable[[], object]
    put: Callable[[object], None]


@dataclass(frozen=True)
class _Binding:
    """Holds what a place held.

    Attributes:
        place: the place.
        value: the value itself.
        mark: a value that is equal as long as the value is.
        former: returns a copy of the value; None if there is none.
    """

    place: _Place
    value: object
    mark: object
    former: Callable[[], object] | None

    def has_changed(self, contents: Contents) -> bool:
        """Returns whether the place holds other content."""
        return bool(contents.of(self.place.get())[0] != self.mark)

    def restore(self, contents: Contents) -> bool:
        """Sets the former value if it has changed; returns whether it has."""
        if not self.has_changed(contents):
            return False
        if self.former is not None:
            self.place.put(set_back(self.value, self.former()))
        return True


class CodeState:
    """Holds what the code of some objects remembers, as it is now, where it can be found.

    That are values of closures, default arguments, attributes of functions, of classes, and of objects of users'
    classes that are held, and global variables that functions name. Attributes of the objects themselves are not
    among them. State inside of libraries, and what code reaches by other ways, is not seen.

    Args:
        owners: objects of any kind, and functions and classes of users.
        is_kept: tells what is kept elsewhere, such as a parameter.
    """

    def __init__(self, owners: Iterable[object], is_kept: Callable[[object], bool] = lambda _value: False) -> None:
        owners = list(owners)
        own = set(map(id, owners))
        self._contents = Contents(lambda value: id(value) in own or is_kept(value))
        self._seen: dict[int, object] = {}
        self._modules: set[tuple[int, int]] = set()
        self._bindings: list[_Binding] = []
        self._namespaces: list[tuple[str, Callable[[], Mapping[str, object]], Callable[[str], None], frozenset[str]]]
        self._namespaces = []
        for owner in owners:
            self._look_into_owner(owner)

    def changed(self) -> list[str]:
        """Returns the names of what has changed, and leaves it so."""
        changed = [each.place.name for each in self._bindings if each.has_changed(self._contents)]
        new = (f"{where}.{n}" for where, names, _, before in self._namespaces for n in set(names()) - before)
        return sorted({*changed, *(each for each in new if not _is_hidden(each.rpartition(".")[2]))})

    def restore(self) -> list[str]:
        """Gives all that has changed its former value, where there is a copy; returns the names."""
        changed = [each.place.name for each in self._bindings if each.restore(self._contents)]
        for where, names, remove, before in self._namespaces:
            for name in sorted(set(names()) - before):
                if not _is_hidden(name):
                    remove(name)
                    changed.append(f"{where}.{name}")
        return sorted(set(changed))

    def _look_into_owner(self, owner: object) -> None:
        own = not is_foreign(type(owner))
        if isinstance(owner, FunctionType):
            self._look_into_function(owner)
        elif isinstance(owner, type):
            self._look_into_class(owner)
        elif (inner := _inner_values(owner)) is not None:
            for one in inner:
                self._look_into(one)
        elif has_attributes(owner):
            for name, value in vars(owner).items():
                # A library's object has code of users as hooks, or as the function that it wraps.
                if own or "hook" in name or isinstance(value, FunctionType | MethodType | functools.partial):
                    self._look_into(value)
            self._look_into_class(type(owner))

    def _look_into(self, value: object) -> None:
        if id(value) in self._seen or len(self._seen) >= _MOST or self._contents.is_kept(value):
            return
        self._seen[id(value)] = value
        if isinstance(value, FunctionType):
            self._look_into_function(value)
        elif isinstance(value, functools.partial):
            self._look_into(value.func)
            self._look_into_content(f"an argument of {_name_of(value.func)}", (*value.args, *value.keywords.values()))
        elif isinstance(value, type):
            self._look_into_class(value)
        elif (inner := _inner_values(value)) is not None:
            for one in inner:
                self._look_into(one)
        elif has_attributes(value) and not is_foreign(type(value)):
            self._look_into_namespace(value, type(value).__qualname__)
            self._look_into(type(value))

    def _look_into_function(self, function: FunctionType) -> None:
        name = function.__qualname__
        own = not is_foreign_module(str(function.__globals__.get("__name__")))
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._bind(_place_of_cell(f"{variable} in the closure of {name}", cell), watched=own)
        self._look_into_content(f"a default argument of {name}", function.__defaults__ or ())
        self._look_into_content(f"a default argument of {name}", (function.__kwdefaults__ or {}).values())
        self._look_into_namespace(function, name)
        if own:
            self._look_into_module(function.__globals__, function.__code__)

    def _look_into_module(self, module: dict[str, Any], code: CodeType) -> None:
        """Watches the variables of a module that code names, and those of users' modules among them."""
        if (id(module), id(code)) in self._modules:
            return
        self._modules.add((id(module), id(code)))
        for variable in sorted(_global_names(code, module)):
            value = module.get(variable)
            if not isinstance(value, ModuleType):
                self._bind(_place_of_global(module, variable))
            elif vars(value) is not module and not is_foreign_module(value.__name__):
                self._look_into_module(vars(value), code)

    def _look_into_class(self, kind: type) -> None:
        for each in kind.__mro__:
            if not is_foreign(each):
                self._look_into_namespace(each, each.__qualname__)

    def _look_into_namespace(self, owner: Any, where: str) -> None:
        """Watches the attributes of a function, class or object, and those that it gets later."""

        def remove(name: str) -> None:
            delattr(owner, name)

        self._namespaces.append((where, lambda: vars(owner), remove, frozenset(vars(owner))))
        for name in list(vars(owner)):
            if not _is_hidden(name) or callable(vars(owner)[name]):
                self._bind(_place_of_attribute(where, owner, name))

    def _look_into_content(self, where: str, values: Iterable[object]) -> None:
        """Watches objects that stay in their places, and whose content may change."""
        for value in values:
            self._bind(_Place(where, lambda value=value: value, lambda _value: None))  # type: ignore[misc]

    def _bind(self, place: _Place, *, watched: bool = True) -> None:
        value = place.get()
        if isinstance(value, ModuleType) or self._contents.is_kept(value):
            return
        if watched:
            mark, former = self._contents.of(value)
            self._bindings.append(_Binding(place, value, mark, former))
        self._look_into(value)


def counted_calls(functions: Iterable[object], call: Callable[[], object]) -> list[str]:
    """Calls something twice, and returns the names of what functions remember of the second time; sets all back.

    A memory of results is full after the first time, and so not among them.
    """
    held = list(functions)
    before = CodeState([held])
    try:
        call()
        between = CodeState([held])
        call()
        return between.restore()
    finally:
        before.restore()


def _inner_values(value: Any) -> list[object] | None:
    """Returns what a container, method, property or wrapper holds; None for another object."""
    if isinstance(value, CONTAINERS):
        return list(value.values()) if isinstance(value, dict) else list(value)
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, property):
        return [value.fget, value.fset]
    return [value.__wrapped__] if isinstance(value, _WRAPPERS) else None


def _global_names(code: CodeType, module: Mapping[str, object]) -> set[str]:
    """Returns the global variables that a function names: those of its module, and those that it makes."""
    makes = dis.opmap["STORE_GLOBAL"] in code.co_code[::2]
    names = {name for name in code.co_names if name in module or (makes and not hasattr(builtins, name))}
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return names.union(*(_global_names(each, module) for each in inner))


def _place_of_cell(name: str, cell: CellType) -> _Place:
    def get() -> object:
        try:
            return cell.cell_contents
        except ValueError:  # it is empty
            return UNSET

    def put(value: object) -> None:
        if value is UNSET:
            del cell.cell_contents
        else:
            cell.cell_contents = value

    return _Place(name, get, put)


def _place_of_global(module: dict[str, Any], variable: str) -> _Place:
    def put(value: object) -> None:
        if value is UNSET:
            del module[variable]
        else:
            module[variable] = value

    return _Place(f"{module.get('__name__')}.{variable}", lambda: module.get(variable, UNSET), put)


def _place_of_attribute(where: str, owner: Any, name: str) -> _Place:
    def put(value: object) -> None:
        if value is UNSET:
            delattr(owner, name)
        else:
            setattr(owner, name, value)

    return _Place(f"{where}.{name}", lambda: vars(owner).get(name, UNSET), put)


def _is_hidden(name: str) -> bool:
    """Returns whether an attribute is Python's own."""
    return name.startswith("__") or name == "_abc_impl"


def _name_of(value: object) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))
