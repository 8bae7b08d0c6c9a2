"""Training: the loop, and what it needs."""

from bertsmith.training.loop import Fit, fit

__all__ = ["Fit", "fit"]
