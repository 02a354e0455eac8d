"""Watching source files, judging what changed, and the bytecode that follows from it."""
