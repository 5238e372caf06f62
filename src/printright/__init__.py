"""Printright, the right to print: licensed, encrypted, provable manufacturing over a shared ledger."""

__all__ = ["__version__"]

__version__ = "0.1.0"
