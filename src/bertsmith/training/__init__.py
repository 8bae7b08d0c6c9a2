"""Training: the loop, what goes before and after it, and what it needs."""

from bertsmith.training.loop import Fit, fit
from bertsmith.training.run import fit_examples

__all__ = ["Fit", "fit", "fit_examples"]
