"""`!note`: notes that the bot keeps in its session."""

from bot.commands import Context

name = "note"
help = "!note TEXT: keep a note; !note: list them; !note clear"
_MOST = 100


async def run(ctx: Context, args: str) -> str:
    """Keep, list or drop notes."""
    if args == "clear":
        ctx.store.clear_notes()
        return "Notes cleared."
    notes = ctx.store.notes()
    if not args:
        return "\n".join(f"{n}. {note}" for n, note in enumerate(notes, 1)) or "No notes."
    if len(notes) >= _MOST:
        return f"There are {_MOST} notes already. !note clear drops them."
    ctx.store.add_note(args[:500])
    return f"Noted ({len(notes) + 1})."
