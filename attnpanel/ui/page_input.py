"""What a page may send to Python: fields as Param parameters, whose bounds are checked first."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import param

from attnpanel.ui.refusals import PageInputError

MAX_LETTERS = 60


class Text(param.String):  # type: ignore[type-arg]  # Param 2.2 cannot be subscripted
    """A text of at most `max_length` characters."""

    __slots__ = ("max_length",)

    def __init__(self, default: str = "", *, max_length: int, **options: Any) -> None:
        self.max_length = max_length
        super().__init__(default=default, **options)

    def _validate(self, val: Any) -> None:
        if not isinstance(val, str) or len(val) > self.max_length:
            got = f"{len(val):,}" if isinstance(val, str) else type(val).__name__
            raise ValueError(
                f"{self.name} must be a text of at most {self.max_length:,} characters; got {got}"
            )


class NamedFiles(param.Parameter):  # type: ignore[type-arg]  # Param 2.2 cannot be subscripted
    """At most `most` pairs of a name and bytes."""

    __slots__ = ("most",)

    def __init__(self, *, most: int, **options: Any) -> None:
        self.most = most
        super().__init__(default=[], instantiate=True, **options)

    def _validate(self, val: Any) -> None:
        if not isinstance(val, list) or len(val) > self.most:
            raise ValueError(f"{self.name} must be a list of at most {self.most}")
        for each in val:
            kinds = [type(part) for part in each] if isinstance(each, (list, tuple)) else []
            if kinds != [str, bytes]:
                got = f"{each!r:.{MAX_LETTERS}}"
                raise ValueError(f"{self.name} must be of names and bytes; got {got}")


class PageMessage(param.Parameterized):
    """The fields of a message that a page may send to a component.

    Attributes
    ----------
    required : tuple of str
        Fields that each message has.
    """

    required: ClassVar[tuple[str, ...]] = ()


def fields_of(kind: type[param.Parameterized], names: tuple[str, ...]) -> type[PageMessage]:
    """Return a message whose fields are some of a class's parameters."""
    fields = {name: copy.copy(kind.param[name]) for name in names}
    return type(f"{kind.__name__}Properties", (PageMessage,), fields)


def check_fields(component: str, message: type[PageMessage] | None, sent: Any) -> None:
    """Check what a page has sent against the fields that a component takes.

    Raises
    ------
    PageInputError
        If the component takes none, or a field is unknown or breaks its bounds.
    """
    if message is None or not isinstance(sent, dict):
        raise PageInputError(f"{component} takes no {type(sent).__name__} from a page")
    for name in sent:
        if not isinstance(name, str) or not _is_field(message, name):
            raise PageInputError(f"a page must not set {component}.{str(name)[:MAX_LETTERS]}")
    missing = [name for name in message.required if name not in sent]
    if missing:
        raise PageInputError(f"a message to {component} must have the field {missing[0]}")
    try:
        message(**sent)
    except (ValueError, TypeError) as error:
        raise PageInputError(f"{component}: {error}") from None


def _is_field(message: type[PageMessage], name: str) -> bool:
    """Whether a message has a field; Param gives every class a `name`, which is none."""
    return name in message.param and message.param[name].doc != PageMessage.param["name"].doc
