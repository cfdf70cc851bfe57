"""Which sample comes when: a pure function of the seed, so that it does not depend on workers or restarts."""

import functools

import numpy as np


@functools.lru_cache(maxsize=4)
def _permutation(seed, epoch, n):
    return np.random.default_rng([seed, epoch, 0]).permutation(n)


def sample(position, *, n, seed, shuffle):
    """The index, of n, at `position` of the endless sequence: every epoch is a permutation of its own."""
    epoch, place = divmod(position, n)
    return int(_permutation(seed, epoch, n)[place]) if shuffle else place


def generator(position, *, seed):
    """The random generator for the augmentation of the sample at `position`."""
    return np.random.default_rng([seed, position, 1])
