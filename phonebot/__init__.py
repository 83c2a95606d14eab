"""phonebot answers phone calls. docs/architecture.md shows the way of one frame through this package."""

__version__ = "0.1.0"
