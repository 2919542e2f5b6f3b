"""ISO 9660 with Rock Ridge and Joliet, by the Sleuth Kit; second reader: our own. Its times carry no usable zone: basis `local?`."""

from __future__ import annotations

from safelight.evidence.filesystems.first_second import head, open_by
from safelight.evidence.source import ByteSource, OpenFileSystem

VOLUME_DESCRIPTORS = 32768  # ECMA-119, 6.2.1: sector 16 of 2,048 bytes


class Iso9660:
    """ISO 9660."""

    name = "iso9660"

    def detect(self, volume: ByteSource) -> bool:
        return head(volume, VOLUME_DESCRIPTORS + 1, 5) == b"CD001"

    def open(self, volume: ByteSource) -> OpenFileSystem:
        from safelight.evidence.filesystems.iso9660_sessions import WithSessions

        return WithSessions(open_by(volume, open_tsk, open_records), volume)


def open_tsk(volume: ByteSource) -> OpenFileSystem:
    import pytsk3

    from safelight.evidence.filesystems.tsk import Profile, TskFileSystem

    label = head(volume, VOLUME_DESCRIPTORS + 40, 32).decode("ascii", "replace").rstrip(" \0")
    return TskFileSystem(volume, pytsk3.TSK_FS_TYPE_ISO9660_DETECT, lambda _: Profile(name="iso9660", label=label, time_basis="local?"))


def open_records(volume: ByteSource) -> OpenFileSystem:
    from safelight.evidence.filesystems.iso9660_records import Iso9660Records

    return Iso9660Records(volume)
