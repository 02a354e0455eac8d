"""How a session is copied: while its bot runs, stands still, or is gone."""
