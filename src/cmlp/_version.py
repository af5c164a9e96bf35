"""The version of the package, for all who write it down. Nothing else."""

__version__ = "0.1.0"
