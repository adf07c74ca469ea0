from torch import Tensor


def mean_squared_error(prediction: Tensor, target: Tensor) -> float:
    """Mean squared error, in the square of the unit of the values.

    Args:
        prediction: Values of any shape.
        target: Values of the same shape.
    """
    return float((prediction - target).double().square().mean())
