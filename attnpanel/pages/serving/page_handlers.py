"""Extend the request handlers that send sessions' pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panel.io.server import DocHandler

if TYPE_CHECKING:
    from collections.abc import Collection

    from tornado.web import Application


def page_address(rule: Any) -> str:
    """Return the address of the page that a rule of an application's router belongs to."""
    return str(rule.target_kwargs["application_context"].url)


def extend_page_handlers(
    application: Application,
    extension: type[DocHandler],
    paths: Collection[str] | None = None,
    **attributes: Any,
) -> None:
    """Put a handler before those that send an application's pages.

    Parameters
    ----------
    application : Application
    extension : type
        Its methods come first, and reach the others by ``super()``.
    paths : collection of str, optional
        Addresses of pages; all by default.
    **attributes
        Of the class that is made for each address.
    """
    for rule in application.wildcard_router.rules:
        target = rule.target
        if not (isinstance(target, type) and issubclass(target, DocHandler)):
            continue
        if paths is None or page_address(rule) in paths:
            rule.target = type(target.__name__, (extension, target), attributes)
