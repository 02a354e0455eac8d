"""Is a session whole? What each kind needs, and what looks it over."""
