"""One loaded base, on which the adapters of a page's columns are put and taken off again."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oft.demo.catalogue import Catalogue, Column
from oft.demo.form import Form
from oft.demo.shown import Given, Square, conditions_of

if TYPE_CHECKING:
    from oft.generation.png import DrawnPicture
    from oft.models.base import Base
    from oft.params import Params


@dataclass(frozen=True)
class ColumnPictures:
    """What one column of the page shows.

    Attributes:
        pictures: in order of their seeds, with their settings.
        condition: the conditioning image that its adapter was shown; None where it takes none.
    """

    column: Column
    pictures: list[DrawnPicture]
    condition: Square | None


class Studio:
    """Draws with one base; calls from several threads wait for one another."""

    def __init__(self, base: Base, resolution_px: int, catalogue: Catalogue, params: Params) -> None:
        """Take a loaded base that carries no adapter."""
        self.base, self.resolution_px = base, resolution_px
        self.catalogue, self.params = catalogue, params
        self._lock = threading.Lock()

    def draw(self, form: Form, given: Given) -> Generator[ColumnPictures, None, None]:
        """Yield the columns of a form, each with the same seeds.

        Between two columns the base carries nothing, so that whoever stops to listen leaves it as it was.

        Raises:
            ParamsError: of `conditions_of`; before anything is drawn.
            PictureError: likewise.
            CheckpointError: an adapter is damaged or belongs to another base.
        """
        columns = self.catalogue.choose(form.labels)
        conditions = self.conditions(columns, given)
        for column in columns:
            condition = conditions.get(column.label)
            yield ColumnPictures(column, self._draw_column(column, form, condition), condition)

    def conditions(self, columns: list[Column], given: Given) -> dict[str, Square]:
        """Return the conditioning image of each column that takes one, see `conditions_of`."""
        device = str(self.base.unet.device)
        with self._lock:
            return conditions_of(columns, given, self.params, self.resolution_px, device)

    def _draw_column(self, column: Column, form: Form, condition: Square | None) -> list[DrawnPicture]:
        from oft.generation.combining import AdapterChoice
        from oft.generation.drawing import Inputs, draw
        from oft.generation.plan import Item

        key = column.label
        drawn = draw(
            self.base,
            [] if column.folder is None else [AdapterChoice(column.folder)],
            [form.strength],
            [Item(key, form.prompt)],
            Inputs() if condition is None else Inputs(conditions={key: condition}),
            form.settings,
            resolution_px=self.resolution_px,
            seed=form.seed,
            number=form.number,
        )
        with self._lock:
            return [one.picture for one in drawn]
