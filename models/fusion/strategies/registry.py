"""All ways of fusing, by name."""

from models.fusion.strategies.bottleneck import Bottleneck
from models.fusion.strategies.contextual import BidirectionalContextual, Contextual
from models.fusion.strategies.cross_modal import CrossModal
from models.fusion.strategies.decisions import DecisionMean, DecisionWeights, ProductOfExperts, Stacking
from models.fusion.strategies.interface import Fusion, FusionConfig
from models.fusion.strategies.shared_private import SharedPrivate
from models.fusion.strategies.tensors import LowRankFusion, TensorFusion
from models.fusion.strategies.weighted import Concatenation, GatedSum

FUSIONS: dict[str, type[Fusion]] = {
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


def build_fusion(name: str, config: FusionConfig) -> Fusion:
    """An untrained strategy; raises ValueError for a name that is not in `FUSIONS`, naming those that are."""
    if name not in FUSIONS:
        raise ValueError(f"there is no fusion {name!r}; there are {', '.join(FUSIONS)}")
    return FUSIONS[name](config)
