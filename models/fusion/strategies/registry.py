"""All fusion strategies, by name."""

from models.fusion.strategies.bottleneck import Bottleneck
from models.fusion.strategies.contextual import BidirectionalContextual, Contextual
from models.fusion.strategies.cross_modal import CrossModal
from models.fusion.strategies.decisions import DecisionMean, DecisionWeights, ProductOfExperts, Stacking
from models.fusion.strategies.interface import FusionConfig, FusionStrategy
from models.fusion.strategies.shared_private import SharedPrivate
from models.fusion.strategies.tensors import LowRankFusion, TensorFusion
from models.fusion.strategies.weighted import Concatenation, GatedSum

STRATEGIES: dict[str, type[FusionStrategy]] = {
    "concatenation": Concatenation,
    "gated": GatedSum,
    "decision_mean": DecisionMean,
    "decision_weights": DecisionWeights,
    "product_of_experts": ProductOfExperts,
    "stacking": Stacking,
    "tensor": TensorFusion,
    "low_rank": LowRankFusion,
    "cross_modal": CrossModal,
    "bottleneck": Bottleneck,
    "shared_private": SharedPrivate,
    "contextual": Contextual,
    "contextual_bidirectional": BidirectionalContextual,
}


def build_strategy(name: str, config: FusionConfig) -> FusionStrategy:
    """Builds an untrained strategy.

    Raises ValueError for a name that is not in `STRATEGIES`, naming those that are.
    """
    if name not in STRATEGIES:
        raise ValueError(f"there is no fusion {name!r}; there are {', '.join(STRATEGIES)}")
    return STRATEGIES[name](config)
