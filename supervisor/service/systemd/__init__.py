"""The manager above us: the unit it runs us by, what it is told, and what is swept at the end."""
