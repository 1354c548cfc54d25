"""The dropout rates of an architecture, and how far they may be scaled."""

from convdepth.config.architecture import Architecture
from convdepth.core.errors import ParameterError


def dropout_rates(architecture: Architecture) -> list[float]:
    """List the rates of a network's dropouts as they are given, before its scale.

    Args:
        architecture: What ``params.yaml`` says.

    Returns:
        From the first block to the head, each 0 to below 1; none where there is no dropout.
    """
    rates = [block.dropout for block in architecture.blocks.values()]
    return [rate for rate in (*rates, architecture.head.dropout) if rate is not None]


def may_scale(architecture: Architecture, scale: float) -> bool:
    """Tell whether all rates stay below 1 when they are multiplied.

    Args:
        architecture: What ``params.yaml`` says.
        scale: The factor, at least 0.
    """
    return scale * max(dropout_rates(architecture), default=0.0) < 1


def require_scale(key: str, name: str, architecture: Architecture, scale: float) -> None:
    """See that the rates of a network may be scaled so.

    Args:
        key: Where the scale stands, for the error.
        name: The network, for the error, too.
        architecture: What ``params.yaml`` says.
        scale: The factor, at least 0.

    Raises:
        ParameterError: A rate would be 1 or more.
    """
    if not may_scale(architecture, scale):
        raise ParameterError(
            f"{key}: expected less than {1 / max(dropout_rates(architecture)):.4g}, since all "
            f"dropouts of {name} must stay below 1, got {scale}"
        )
