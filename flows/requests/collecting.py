"""What a kind of training asks for pictures: each parameter's source gets a folder of the run's own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from flows.requests.captioned import Captioned, collect_captioned
from flows.requests.images import collect_images
from flows.requests.site import Site
from flows.requests.sources import Wanted


class Collector(NamedTuple):
    """Collects pictures of a run.

    Attributes:
        resolution_px: the shorter side of each must have this at least.
        folder: the run's own, for downloads.
        site: what the server allows.
    """

    resolution_px: int
    folder: Path
    site: Site

    def images(self, source: str, wanted: Wanted) -> list[Path]:
        """Return sound pictures; see `collect_images`."""
        return collect_images(source, self.resolution_px, self._new_folder(wanted), self.site, wanted)

    def captioned(self, source: str, wanted: Wanted, needs_captions: bool = True) -> list[Captioned]:
        """Return sound pictures with what belongs to them; see `collect_captioned`."""
        folder = self._new_folder(wanted)
        return collect_captioned(source, self.resolution_px, folder, self.site, wanted, needs_captions)

    def _new_folder(self, wanted: Wanted) -> Path:
        folder = self.folder / wanted.key
        folder.mkdir()
        return folder
