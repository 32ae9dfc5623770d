"""Whether what a class says of its methods still holds for a subclass."""

from typing import Any

__all__ = ["drop_outdated", "has_methods_of_declaration", "is_outdated"]


def has_methods_of_declaration(cls: type, attribute: str, methods: tuple[str, ...]) -> bool:
    """Whether a class has these methods from where the attribute was set: no class below, nor a mix-in, defines one anew.

    >>> class Base:
    ...     is_fast = True
    ...     def call(self): ...
    >>> class Slower(Base):
    ...     def call(self): ...
    >>> class Other(Base):
    ...     def name(self): ...
    >>> [has_methods_of_declaration(each, "is_fast", ("call",)) for each in (Base, Slower, Other)]
    [True, False, True]
    """
    origin: Any = next(base for base in cls.__mro__ if attribute in vars(base))
    return all(getattr(cls, name, None) is getattr(origin, name, None) for name in methods)


def is_outdated(cls: type, method: str, basic: str) -> bool:
    """Whether a method was written for another `basic` one than the class has.

    >>> class Base:
    ...     def log_prob(self): ...
    ...     def log_prob_by_entry(self): ...
    >>> class Other(Base):
    ...     def log_prob(self): ...
    >>> [is_outdated(each, "log_prob_by_entry", "log_prob") for each in (Base, Other)]
    [False, True]
    """
    return getattr(_writer(cls, method), basic, None) is not getattr(cls, basic)


def drop_outdated(cls: type, root: type, basic: str, *methods: str) -> None:
    """Gives a class the root's defaults of methods that a class above wrote for a `basic` one of its own.

    >>> class Root:
    ...     def forward(self): ...
    ...     def inverse(self): ...
    >>> class Double(Root):
    ...     def forward(self): ...
    ...     def inverse(self): ...
    >>> class Triple(Double):
    ...     def forward(self): ...
    >>> drop_outdated(Triple, Root, "forward", "inverse")
    >>> Triple.inverse is Root.inverse
    True
    """
    for method in methods:
        # A mix-in that has no `basic` method wrote for any.
        has_its_own = getattr(_writer(cls, method), basic, None) not in (None, getattr(root, basic))
        if has_its_own and is_outdated(cls, method, basic):
            setattr(cls, method, getattr(root, method))


def _writer(cls, method):
    return next(base for base in cls.__mro__ if method in vars(base))
