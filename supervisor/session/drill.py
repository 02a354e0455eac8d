"""The drill: the newest good snapshot is really restored, beside the live session.

A snapshot of which every byte can be read may still be none that a bot can start with. This is
found out while the live session is whole, and not when it is needed.
"""

import os
import time
from dataclasses import dataclass
from typing import Literal

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.audited import heals
from supervisor.session.ladder import Ladder
from supervisor.session.model import DamagedBlob, UnreadableBlob
from supervisor.session.progress import Progress
from supervisor.session.proof import checks, sight
from supervisor.session.proof.profile import expected_identity
from supervisor.session.restoring.rebuild import build
from supervisor.session.state import Record
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.reading import entries_of

# How the reason of a verdict begins that only a drill can give, and only another could take back.
ON_TRIAL = "restored on trial: "

# A copy on the disk may take more room than its bytes: blocks, folders, the databases' copies.
_ROOM = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """What a restore drill came to. `condemned`: the snapshot itself is to blame."""

    outcome: Literal["passed", "failed", "skipped"]
    snapshot: str
    size_bytes: int
    duration_s: float = 0.0
    why: str = ""
    hint: str = ""
    condemned: bool = False


class Drills(Ladder):
    """Restores on trial."""

    def drill(self, session_id: str, progress: Progress | None = None) -> Drilled | None:
        """Restore the newest good snapshot for once, beside everything else, and look at it.

        It is built in the store's scratch folder, opened with all validators, and its device
        compared with the epoch's; then it is gone. Writes nothing else, so that it may run in a
        thread of its own; see `condemn`. None: there is no good snapshot. Skipped: there is no
        room for it, or nothing to open it with. `progress` may raise to end it, and may keep it
        waiting. Raises: SupervisorError, OSError.
        """
        record = self._state.read(session_id)
        own = self.store.listing(session_id).of_epoch(record.epoch)
        newest = next((m for m in reversed(own) if m.verdict == "good"), None)
        if newest is None or record.state == "closed":
            return None
        size_bytes = newest.size_bytes
        begin = time.perf_counter()
        disk = os.statvfs(self.store.tmp)
        needs, free = int(size_bytes * _ROOM), disk.f_bavail * disk.f_frsize
        if needs > free:
            why = f"it needs {needs >> 20} MB on the disk, and {free >> 20} MB are free"
            hint = f"make room in {self.store.root}"
            return Drilled(
                outcome="skipped", snapshot=newest.name, size_bytes=size_bytes, why=why, hint=hint
            )
        why, hint, condemned = "", "", False
        outcome: Literal["", "skipped"] = ""
        self._pinned.append(newest.name)
        try:
            why = self._rebuilt_problem(newest, record, progress)
            condemned, hint = bool(why), heals(session_id)
            why = why and f"{ON_TRIAL}{why}"
        except UnreadableBlob as error:
            why = error.message
            hint = error.hint or "mend the disk: what is on it can't be read now"
        except DamagedBlob as error:
            why, hint, condemned = error.message, heals(session_id), True
        except SupervisorError as error:
            why, hint, outcome = error.message, error.hint, "skipped"
        except OSError as error:
            why = f"{error.strerror or error} ({error.filename or self.store.tmp})"
            hint = "make room or mend the disk: a restore would fail as well"
        finally:
            self._pinned.remove(newest.name)
        return Drilled(
            outcome=outcome or ("failed" if why else "passed"),
            snapshot=newest.name,
            size_bytes=size_bytes,
            duration_s=time.perf_counter() - begin,
            why=why,
            hint=hint if why else "",
            condemned=condemned,
        )

    def _rebuilt_problem(
        self, manifest: Manifest, record: Record, progress: Progress | None
    ) -> str:
        """Return why a snapshot is no whole session of this epoch's device, once it is built."""
        profile = self._profile_in(manifest)
        entries = entries_of(manifest)
        seen = {path: entry.seen for path, entry in entries.items()}
        with files.scratch(self.store.tmp) as work:
            target = work / "session"
            build(manifest, target, self.store, progress=progress)
            formats = checks.formats_of(target, seen, profile, entries, ours=True)
            # What an emptied file means was judged when the snapshot got its verdict.
            filled = {
                path: form
                for path, form in formats.items()
                if path not in seen or seen[path].size or not form.startswith("json")
            }
            problems = checks.content_problems(target, seen, filled, ours=True)
            torn = {problem.path for problem in problems}
            sound = {path: form for path, form in filled.items() if path not in torn}
            problems += checks.deep_problems(target, sound, None)
            good = self._good_before(manifest)
            why = sight.missing_problems(seen, profile)
            why += self._not_always_so(problems, formats, profile, self._entries(good))
            identity = profile.identity(target)
        wanted = expected_identity(profile, None, record.identity) or manifest.at_rest
        if wanted is not None and identity != wanted:
            why.append(f"it is of device {identity or 'unknown'}, and not of {wanted}")
        return "; ".join(why)

    def condemn(self, session_id: str, snapshot: str, why: str) -> None:
        """Write into a snapshot that it can't be restored: nothing is built upon it any more.

        Raises: SessionBusy, SupervisorError, OSError.
        """
        with self.owning(session_id):
            manifest = self.store.find(session_id, snapshot)
            if manifest.verdict != "bad":
                self.store.amend(manifest, **manifest.sickened(why[:1000]))
