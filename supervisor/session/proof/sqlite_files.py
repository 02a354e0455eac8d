"""What SQLite calls its files, and how a database begins (https://sqlite.org/fileformat2.html)."""

MAGIC = b"SQLite format 3\0"
# Beside a database, and part of it.
JOURNALS = ("-wal", "-journal")
# Its shared memory, which the next open makes anew (https://sqlite.org/walformat.html).
SHARED = "-shm"
# Of an old database none of these may lie beside a new one.
COMPANIONS = (*JOURNALS, SHARED)
