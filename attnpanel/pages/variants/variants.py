"""Variants: the cards of variants and their price in a notebook cell or an app."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from panel.viewable import Viewer

from attnpanel.pages.variants.component import VariantCards
from attnpanel.pages.variants.report import save_variants
from attnpanel.ui.layout import box
from attnpanel.ui.notebook import load_libraries
from attnpanel.ui.theme import stylesheet, theme_variables

if TYPE_CHECKING:
    import os
    from pathlib import Path


class Variants(Viewer):
    """Variants of attention on one small example, and what each costs for a model of your size.

    The browser computes and draws, in a notebook cell, a converted notebook and an app.

    Parameters
    ----------
    link : str, optional
        The choices it opens with, at most 2,000 characters: the query of the served page's address,
        such as ``"layout=latent&length=32768"``.
    dark : bool, optional
        Whether it is drawn in the dark theme.

    Raises
    ------
    ValueError
        If the link is longer.

    Examples
    --------
    >>> Variants("layout=latent").link
    'layout=latent'
    """

    def __init__(self, link: str = "", *, dark: bool = False) -> None:
        load_libraries()
        super().__init__()
        self._cards = VariantCards(link=link, whole_page=False, dark=dark)
        theme = "dark" if dark else "light"
        self._layout = box(self._cards, css=f"attn-root attn-{uuid.uuid4().hex} attn-{theme}")
        self._layout.stylesheets = [theme_variables(), stylesheet()]

    def __panel__(self) -> Any:
        return self._layout

    @property
    def link(self) -> str:
        """The present choices as a query."""
        return str(self._cards.link)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the cards with their present choices as one HTML file.

        Parameters
        ----------
        path : path
            Written atomically; its folder must exist.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OSError
            If the file can't be written; an existing file stays as it was.
        """
        return save_variants(path, link=self.link)
