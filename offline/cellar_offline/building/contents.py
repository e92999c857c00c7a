"""All that a bundle holds, as its papers tell it. Pure data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cellar_offline.building.images import Packed
from cellar_offline.building.metadata import Package
from cellar_offline.building.weights import Model
from cellar_offline.building.wheels import Wheel
from cellar_offline.manifest import File


@dataclass(frozen=True)
class Contents:
    """`files`: everything that is no image, the papers themselves excepted. `media`: bytes of the chunks of all that.

    `signer`: fingerprint; "" is nobody. `missing`: images of the list that are not in it.
    """

    name: str
    version: str
    built: str
    platform: str
    python: str
    since: str | None
    chunk_size: int
    media: int
    signer: str
    files: tuple[File, ...]
    images: tuple[Packed, ...]
    wheels: tuple[Wheel, ...]
    models: tuple[Model, ...]
    missing: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes, unpacked; layers that images share counted once."""
        layers = {name: 0 for each in self.images for name in each.image.layers}
        return sum(each.size for each in self.files) + sum(self.layer_sizes.get(name, 0) for name in layers)

    @property
    def layer_sizes(self) -> dict[str, int]:
        return {name: size for each in self.images for name, size in each.layers}

    def licences(self) -> list[tuple[str, int]]:
        """Licence -> how many parts have it, the most frequent first; "" for those that say nothing."""
        count = Counter(each.licence for each in self.packages())
        count.update(each.package.licence for each in self.wheels)
        count.update(each.licence for each in self.models)
        return sorted(count.items(), key=lambda pair: (-pair[1], pair[0]))

    def packages(self) -> list[Package]:
        """In images, each once."""
        return sorted({package for each in self.images for package in each.packages})
