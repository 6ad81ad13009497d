"""Configurations; installed as vggjax.configs."""
