"""An archive moved from files to a server: copied beside its service, and compared row by row."""
