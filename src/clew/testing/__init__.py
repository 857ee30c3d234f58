"""What ships for tests: `StoreConformance` proves an engine of one's own in ten lines."""

from clew.testing.conformance import StoreConformance

__all__ = ["StoreConformance"]
