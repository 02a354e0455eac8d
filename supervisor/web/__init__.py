"""The page: a process of its own, which asks the supervisor as every command does."""
