"""What a person reads in `.session-cache/README`. Its command is run by a test."""

BY_HAND = r"""python3 -c '
import json, os, pathlib, sys, zstandard
manifest, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
m = json.load(open(manifest))
store = manifest.parent if m["kind"] != "quarantine" else manifest.parent.parent
name = lambda f, k: f[k] if k in f else os.fsdecode(bytes.fromhex(f[k + "_hex"]))
def frame(pack, offset, stored):
    with open(store / "packs" / m["packs"][str(pack)][0], "rb") as p:
        p.seek(offset); return zstandard.decompress(p.read(stored))
def content(blob):
    _, pack, offset, stored, length, *over = blob
    data = bytearray(frame(pack, offset, stored)[:length].ljust(length, b"\0"))
    for at, *place, size in over[1] if over else []: data[at:at + size] = frame(*place)
    return data
os.umask(0o077); out.mkdir()
for f in m["files"]:
    path = out / name(f, "path")
    if f["kind"] == "dir": path.mkdir()
    elif f["kind"] == "link": path.symlink_to(name(f, "target"))
    else:
        with open(path, "wb") as file:
            for blob in f["blobs"]: file.write(content(blob))
' MANIFEST.json OUT"""

README = f"""\
The snapshots of your bots' sessions. Whoever can read this folder can be your bot: keep it
private, and never commit it.

session-<id>.<number>.<UTC>.<reason>.json   one snapshot each: its files, and where the bytes are
packs/        the bytes: zstd frames, each checked by its BLAKE3 hash; a pack serves many snapshots
quarantine/   sessions that were replaced or cleared: plain folders, or manifests like these here
tmp/          work in progress; may be emptied while nothing runs

To see, check, and bring back:

    stillhere session snapshots ID
    stillhere session restore ID --snapshot NUMBER
    stillhere session export ID FOLDER

What lies in quarantine as a manifest is exported by its name in the same way; a plain folder there
is the session itself. Where this folder is on another disk than the sessions, such folders lie
beside the session's own for a while, with a dot before their names.

By hand, with nothing but Python and its zstandard package (OUT must not exist yet):

{BY_HAND}

To get rid of a snapshot, let `stillhere session prune ID` do it. A pack that you delete may be
needed by several snapshots. A manifest that you edit by hand is not believed any more, and stops
all pruning.
"""
