"""How much of a window was received, whatever it held."""

from streams.alignment.ordered_units import UnitsByModality
from streams.alignment.windows import SegmentGrid
from streams.clock import NS_PER_S
from streams.records import Modality


def received_fraction(
    units: UnitsByModality, span_ns: tuple[int, int], sample_hz: float, segments: SegmentGrid
) -> dict[Modality, float]:
    """Fraction received of the window [start, end), 0..1, by modality.

    units: those of the window. For text and signals it is whether there was one.
    """
    start_ns, end_ns = span_ns
    pictures = len(units.get(Modality.VIDEO, ())) * NS_PER_S / (sample_hz * (end_ns - start_ns))
    whole = max(1, segments.count_within(start_ns, end_ns))
    sound = sum(unit.received_fraction for unit in units.get(Modality.AUDIO, ())) / whole
    return {
        Modality.VIDEO: min(1.0, pictures),
        Modality.AUDIO: min(1.0, sound),
        Modality.TEXT: float(bool(units.get(Modality.TEXT, ()))),
        Modality.SIGNALS: float(bool(units.get(Modality.SIGNALS, ()))),
    }
