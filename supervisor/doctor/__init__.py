"""What may be wrong with a project or its machine: looked at, concluded, and how it is mended."""
