"""The operator's commands, a file each; `receiver.cli` has the table."""
