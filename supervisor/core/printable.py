"""Text of others, before it is shown: whoever wrote it may have meant a terminal. Pure."""


def printable(text: str, instead: str = "?") -> str:
    """Return the text with `instead` for each character that does not print, a line's end too."""
    return "".join(c if c.isprintable() else instead for c in text)
