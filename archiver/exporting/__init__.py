"""Everything that a query finds, taken out of the archive: pages of slots, and their pictures."""
