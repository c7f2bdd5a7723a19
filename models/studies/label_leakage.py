"""Noise that takes label leakage out of features.

Problem: features that come out of a network trained on the very rows that a fusion is to be trained on tell the labels
far better than they ever will again (CMU-MOSI's released text features: 98 % right by a linear classifier on the
training videos, 76 to 78 % published on the test videos; video: 92 % and 56 %). A fusion trained on them trusts them
blindly, and cross-validation on the training rows cannot notice, since the rows held out were seen as well. Rule: noise
of the features' own within-class covariance is added and all is scaled back, so that classes lie as far apart, for the
best linear classifier (Fisher, 1936), as on rows of which it is right as often as is known for new ones; the noise
knows no label. Left out: finding out how well the features do on new rows, and more than two classes.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

_SHRINKAGE = 0.1  # of the covariance, towards equal variances without correlation: there are few rows

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class LeakageNoise:
    """Noise of the features' own within-class covariance.

    mean: (width,). root: (width, width), of the noise's covariance. noise: its strength, in within-class deviations; 0
    where the features already tell no more than they should.
    """

    mean: Floats
    root: Floats
    noise: float

    @classmethod
    def fitted(cls, vectors: Floats, labels: NDArray[np.int64], accuracy: float) -> Self:
        """Fits noise under which features tell as much as new rows.

        vectors: (rows, width). labels: (rows,) 0 or 1, both there. accuracy: of a linear classifier on new rows.

        Raises ValueError for an accuracy that is not between a half and 1, or for other labels.
        """
        if not 0.5 < accuracy < 1:
            raise ValueError(f"accuracy must be between a half and 1 (is {accuracy})")
        if set(np.unique(labels)) != {0, 1}:
            raise ValueError("labels must be 0 and 1, and both there")
        means = np.stack([vectors[labels == label].mean(axis=0) for label in (0, 1)])
        within: NDArray[np.float64] = np.cov((vectors - means[labels]).T.astype(np.float64))
        equal = np.trace(within) / len(within) * np.eye(len(within))
        covariance = (1 - _SHRINKAGE) * within + _SHRINKAGE * equal
        apart = means[1] - means[0]
        distance = float(np.sqrt(apart @ np.linalg.solve(covariance, apart)))
        wanted = 2 * float(norm.ppf(accuracy))
        noise = np.sqrt(max((distance / wanted) ** 2 - 1, 0.0))
        return cls(means.mean(axis=0), np.linalg.cholesky(covariance).astype(np.float32), float(noise))

    def __call__(self, vectors: Floats, rng: np.random.Generator) -> Floats:
        """vectors: (rows, width). Returns the same shape, with noise drawn anew."""
        drawn = rng.standard_normal(vectors.shape) @ self.root.T
        blurred = self.mean + (vectors - self.mean + self.noise * drawn) / np.hypot(1, self.noise)
        return np.asarray(blurred, dtype=np.float32)
