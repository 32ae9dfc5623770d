"""Whether what a class says of its methods still holds for a subclass."""

from typing import Any

__all__ = ["has_methods_of_declaration"]


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
