"""The bounds that no configuration moves."""

# Deadlines of work that is not the bot's, in seconds. A restore of a large session on a slow
# disk is slow, not broken; the rest is quick or hangs.
JOB_TIMEOUT_S = 30.0
RESTORE_JOB_TIMEOUT_S = 600.0
SEAL_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 5.0
HELD_RETRY_S = 30.0
# To write the stacks of all threads takes milliseconds; a bot that does not answer has no more.
DUMP_TIMEOUT_S = 2.0
# A bot may ask for more time again and again, but not for ever at once.
EXTENSION_MAX_S = 600.0
# The copy before a stop is taken anew when so long was waited for other things since.
COPY_FRESH_S = 2.0
CHANGED_MAX = 1000
# Why a restart was held that no mended code lets through: shown, and told apart from the others.
NO_SNAPSHOT = "no snapshot could be taken"
