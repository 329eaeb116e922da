"""Fitting the last layer of a prototype classifier anew."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch

from conceptbench.eval.methods.protolm.model import PrototypeClassifier
from conceptbench.eval.methods.protolm.tokens import TokenSource

PULL: Final = 1e-3
"""How strongly `refit_last_layer` pulls weights to what they were."""

_STEPS = 500


def refit_last_layer(
    classifier: PrototypeClassifier, source: TokenSource, labels: np.ndarray, *, pull: float = PULL
) -> PrototypeClassifier:
    """Fit the layer from similarities to classes anew, and leave all else as it is.

    Minimises the mean cross-entropy plus pull/2·‖W - W₀‖², with W₀ the weights as they are: a convex problem, solved
    by L-BFGS.

    Parameters
    ----------
    source, labels : the training texts, and their class numbers of shape (texts,).
    pull : the weight of the second term.

    Returns
    -------
    a classifier with the new layer; the one that was passed stays as it is.
    """
    similarities = torch.from_numpy(classifier.read(source).similarities).double()
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    before = classifier.head.classes.weight.detach().cpu().double()
    weights = before.clone().requires_grad_()
    solver: Any = torch.optim.LBFGS(
        [weights], max_iter=_STEPS, tolerance_grad=1e-7, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = torch.nn.functional.cross_entropy(similarities @ weights.T, targets)
        loss = loss + pull / 2 * ((weights - before) ** 2).sum()
        torch.autograd.backward(loss)
        return loss

    solver.step(closure)
    return classifier.with_prototypes(classifier.head.prototypes.detach(), weights.detach().float())
