"""What the `vggjax` command does with weights: a module for each command."""
