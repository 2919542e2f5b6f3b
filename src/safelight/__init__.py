"""Safelight: from seized disks to the few things that people must look at."""

__version__ = "0.1.0"
