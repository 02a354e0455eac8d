"""What a manifest stands for: its entries, and the bytes of them."""

from collections.abc import Mapping

from supervisor.session.storage.entries import Entry
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.store import Store


def entries_of(manifest: Manifest | None) -> Mapping[str, Entry]:
    """Return a snapshot's entries by path."""
    return {entry.path: entry for entry in manifest.files} if manifest else {}


def read_back(manifest: Manifest, store: Store) -> None:
    """Read every blob of a snapshot from the disk. Raises: DamagedBlob."""
    with store.reader() as reader:
        for pack in {blob.pack for blob in manifest.blobs()}:
            reader.drop_cache(pack)
        for blob in manifest.blobs():
            reader.read(blob)
