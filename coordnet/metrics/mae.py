from torch import Tensor


def mae(prediction: Tensor, target: Tensor) -> float:
    """Mean absolute error, in the unit of the values.

    Args:
        prediction: Values of any shape.
        target: Values of the same shape.
    """
    return float((prediction - target).double().abs().mean())
