"""What is stored: manifests, packs, and the commit that makes both durable."""
