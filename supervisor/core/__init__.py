"""The pure core: what is decided, without I/O and without a clock."""
