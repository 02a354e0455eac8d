"""The tests. A package by name, so that no library's own `tests` can take its place."""
