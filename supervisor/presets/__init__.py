"""What is known of each bot library: how it is recognised, and what its output means."""
