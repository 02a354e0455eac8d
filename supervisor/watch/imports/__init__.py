"""What a Python program imports before anything of it can matter, read and never run."""
