from torch import Tensor


def nmse(prediction: Tensor, target: Tensor) -> float:
    """Squared error divided by the energy of the target: 0 is perfect, and a prediction of 0 everywhere scores 1.

    Args:
        prediction: Values of any shape.
        target: Values of the same shape, not all 0.
    """
    return float(((prediction - target).double() ** 2).sum() / (target.double() ** 2).sum())
