"""The pitch of a head, from the five landmarks of its face.

Rule. Seen from the front, the tip of the nose lies between eyes and mouth at a share of the way that depends on the
pitch alone, since it stands out of the plane of the others: it comes nearer to the mouth where the head goes down. The
share is that of a head of usual proportions (weak perspective; Gee and Cipolla, 1994). A person's own proportions shift
it by some degrees, so pitches of one face are to be compared with each other. Left out: yaw, which shortens no vertical
distance, and roll, which is taken out by the line of the eyes.
"""

import math

from models.face.geometry import Landmarks

# In distances between the pupils, from the line of the eyes: down, and out towards the camera.
_NOSE_DOWN, _NOSE_OUT = 0.58, 0.45
_MOUTH_DOWN, _MOUTH_OUT = 1.02, 0.1


def head_pitch_degrees(landmarks: Landmarks) -> float | None:
    """Returns how far the head is bent down, in degrees.

    Below 0 where it is raised.     landmarks: eyes, tip of the nose and corners of the mouth, from the picture's left
    to its right. None where they are missing or lie on a line, as those of a profile do.
    """
    if len(landmarks) != 5:
        return None
    (left_x, left_y), (right_x, right_y), nose, left_corner, right_corner = landmarks
    apart = math.hypot(right_x - left_x, right_y - left_y)
    middle = (left_x + right_x) / 2, (left_y + right_y) / 2
    mouth = (left_corner[0] + right_corner[0]) / 2, (left_corner[1] + right_corner[1]) / 2
    if apart == 0:
        return None
    down_x, down_y = (left_y - right_y) / apart, (right_x - left_x) / apart

    def below_eyes(point: tuple[float, float]) -> float:
        return (point[0] - middle[0]) * down_x + (point[1] - middle[1]) * down_y

    if below_eyes(mouth) <= 0.3 * apart:
        return None
    share = below_eyes(nose) / below_eyes(mouth)
    return math.degrees(math.atan2(share * _MOUTH_DOWN - _NOSE_DOWN, _NOSE_OUT - share * _MOUTH_OUT))
