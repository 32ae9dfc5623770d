"""Keras callbacks: schedules of the training objective, and pictures for TensorBoard."""

from tfp_iaf.callbacks.schedules import FreeEnergyAnnealing, KLWarmUp
from tfp_iaf.callbacks.tensorboard_images import TensorBoardImages

__all__ = ["FreeEnergyAnnealing", "KLWarmUp", "TensorBoardImages"]
