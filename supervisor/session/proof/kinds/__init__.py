"""What is known of each kind of session: one small file a kind, listed in proof/profile.py."""
