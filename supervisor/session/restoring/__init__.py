"""How a snapshot becomes the live session again, and what was live is kept."""
