"""Who is who: the same person keeps the same number from one detection to the next, and over a moment out of sight.

Detections are paired with the tracks' last boxes by overlap, the best pair first. A track that is not seen for
`remember_ns` is forgotten. Left out: recognising a face; two people who change places while unseen change numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.face.detector import Detection
from models.face.geometry import Box, grown, longest_side, overlaps

_REACH = 1.6  # boxes are paired as if this much larger, so that a face may move its own width between detections
_LEAST_OVERLAP = 0.15
_CLEARLY_SMALLER = 1 / 1.4  # of the longest side; what is nearer in size than this does not take over


@dataclass(slots=True)
class Track:
    """A person as last seen; `first_ns` and `seen_ns` are the event times of the first and the last sight."""

    number: int
    box: Box
    first_ns: int
    seen_ns: int


class Tracks:
    """The people of one session. Owned by the follower's thread; no lock."""

    def __init__(self, remember_ns: int) -> None:
        self._remember_ns = remember_ns
        self._tracks: list[Track] = []
        self._next = 0
        self._largest: int | None = None

    def find(self, boxes: Sequence[Box]) -> list[int | None]:
        """The number of each box's track, None for a newcomer; changes nothing."""
        overlap = overlaps([grown(track.box, _REACH) for track in self._tracks], [grown(box, _REACH) for box in boxes])
        found: list[int | None] = [None] * len(boxes)
        for pair in np.argsort(-overlap, axis=None, kind="stable"):
            row, column = np.unravel_index(pair, overlap.shape)
            if overlap[row, column] < _LEAST_OVERLAP:
                break
            overlap[row, :] = overlap[:, column] = 0
            found[column] = self._tracks[row].number
        return found

    def see(self, detections: Sequence[Detection], time_ns: int) -> list[int]:
        """Forgets who has been away too long, then takes these faces in; returns their numbers."""
        self._tracks = [track for track in self._tracks if time_ns - track.seen_ns <= self._remember_ns]
        numbers = []
        for detection, number in zip(detections, self.find([d.box for d in detections]), strict=True):
            if number is None:
                number, self._next = self._next, self._next + 1
                self._tracks.append(Track(number, detection.box, time_ns, time_ns))
            numbers.append(number)
            self.move(number, detection.box, time_ns)
        self._choose(numbers)
        return numbers

    def move(self, number: int, box: Box, time_ns: int) -> None:
        """The track's face is here now."""
        track = next(track for track in self._tracks if track.number == number)
        track.box, track.seen_ns = box, time_ns

    @property
    def largest(self) -> int | None:
        """The track that the session is about: the largest when chosen, until gone or clearly smaller."""
        return self._largest

    def _choose(self, seen: Sequence[int]) -> None:
        """A chosen face that is out of sight for a moment keeps its place against everyone who was there with it.

        A newcomer takes it: that may be the same person, who moved further than boxes can be paired.
        """
        known = {track.number: track for track in self._tracks}
        chosen = known.get(self._largest) if self._largest is not None else None
        rivals = [known[number] for number in seen]
        if chosen is not None and chosen.number not in seen:
            rivals = [track for track in rivals if track.first_ns > chosen.seen_ns]
            if not rivals:
                return
            chosen = None
        biggest = max(rivals, key=lambda track: longest_side(track.box), default=None)
        if chosen is None:
            self._largest = biggest.number if biggest is not None else None
        elif biggest is not None and longest_side(chosen.box) < _CLEARLY_SMALLER * longest_side(biggest.box):
            self._largest = biggest.number
