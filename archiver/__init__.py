"""The ground floor: what we know about every generation, and where its bytes are."""
