"""Which version this is. The packaging reads it here, too (pyproject.toml).

Asking the installed package instead takes 30 ms and 3 MB: all of `email` and `zipfile`.
"""

VERSION = "0.1.0"
