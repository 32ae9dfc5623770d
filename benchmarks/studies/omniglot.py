"""Posteriors of a small convolutional VAE on Omniglot: the set-up of `caltech_silhouettes`, trained for longer.

Published bounds, of a larger network and of another split and resizing of the images: none -104.28, planar -102.65, IAF
-102.41, best Sylvester flow -99.00 (van den Berg et al. 2018, section 6.2).
"""

from benchmarks.studies import caltech_silhouettes
from benchmarks.studies.convolutional import convolutional_vae

SETTINGS = caltech_silhouettes.SETTINGS | {"steps": 20_000}
VARIANTS = caltech_silhouettes.VARIANTS

make_model = convolutional_vae
