"""`!remind`: say something later, exactly once, over any number of restarts."""

import re
import time

from bot.commands import Context, duration
from bot.session import Reminder

name = "remind"
help = "!remind 10m TEXT: say it later (s, m, h or d); !remind: what is due"
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 366 * 86_400
_MOST = 200


async def run(ctx: Context, args: str) -> str:
    """Keep a reminder, or list them."""
    waiting = ctx.store.reminders()
    if not args:
        lines = [f"in {duration(one.due - time.time())}: {one.text}" for one in waiting]
        return "\n".join(lines[:20]) or "No reminders."
    found = re.fullmatch(r"(\d{1,9})\s*([smhd])\s+(.+)", args, re.DOTALL)
    if not found:
        return f"That is not a time. {help}"
    wait_s = int(found[1]) * _UNITS_S[found[2]]
    if wait_s > _LONGEST_S:
        return "A year at most."
    if len(waiting) >= _MOST:
        return f"There are {_MOST} reminders already."
    # The message's id names it: if the message comes again, it is the same reminder.
    ctx.store.add_reminder(Reminder(ctx.message_id, time.time() + wait_s, found[3][:500]))
    return f"I will remind you in {duration(wait_s)}."
