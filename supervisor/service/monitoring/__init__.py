"""What is counted and looked up, and the pages that show it: metrics and health."""
