"""The figures that the documents print are those of the shipped model."""

import json

import pytest

from tests.documents import ROOT, prose, rows

pytestmark = pytest.mark.unit

SIGN = "models/README.md"
MODEL = json.loads((ROOT / "models" / "weights" / "default" / "model.json").read_text(encoding="utf-8"))
FUSION = MODEL["metrics"]["fusion"]
PRESENT = {
    "face": "video",
    "voice": "audio",
    "text": "text",
    "face and voice": "video+audio",
    "face and text": "video+text",
    "voice and text": "audio+text",
    "all three": "video+audio+text",
}


def table(section: str, columns: int, document: str = SIGN) -> dict[str, list[str]]:
    """The rows of a section's tables of so many columns, by their first cell."""
    return {row[0]: row[1:] for row in rows(document, section) if len(row) == columns}


@pytest.mark.parametrize(("document", "section"), [("README.md", "How good it is"), (SIGN, "Figures")])
def test_figures_by_what_is_there_are_the_models(document: str, section: str) -> None:
    subsets = {name: FUSION["subsets"][key] for name, key in PRESENT.items()}
    assert table(section, 3, document) == {
        name: [f"{found['uar']['mean']:.3f} ± {found['uar']['sd']:.3f}", f"{found['ece']['mean']:.3f}"]
        for name, found in subsets.items()
    }


def test_figures_by_corpus_are_the_models() -> None:
    assert {name.replace(", ", "/"): row for name, row in table("Figures", 6).items()} == {
        name: [str(found["n"]), *(f"{found[key]['mean']:.3f}" for key in ("accuracy", "uar", "macro_f1", "ece"))]
        for name, found in MODEL["metrics"]["corpora"].items()
    }


def test_figures_of_strategies_are_the_models() -> None:
    assert table("Figures", 5) == {
        name: [f"{found['parameters']:.0f}", *(f"{found[key]:.3f}" for key in ("accuracy", "nll", "ece"))]
        for name, found in FUSION["strategies"].items()
    }


def test_figures_of_corrupted_modalities_are_the_models() -> None:
    printed = list(table("Figures", 4).values())[-len(FUSION["noise"]) :]
    assert printed == [
        [
            f"{found[name.partition(',')[0]]['uar']:.3f}" if name.partition(",")[0] in found else "",
            *(f"{found['video+audio+text'][key]:.3f}" for key in ("uar", "nll")),
        ]
        for name, found in FUSION["noise"].items()
    ]


def test_levels_and_the_limit_of_abstention_are_the_models() -> None:
    levels = {name.strip("`"): row for name, row in table("Where levels come from", 3).items()}
    assert {name: float(row[0]) for name, row in levels.items()} == MODEL["risk"]["levels"]
    reached = MODEL["metrics"]["risk"]["every_ordinary_line"]
    assert {name: row[1] for name, row in levels.items()} == {name: f"{reached[name]:.3f}" for name in levels}
    assert f"less probable than {MODEL['least_confidence']} " in prose(SIGN)
