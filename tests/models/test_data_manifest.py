"""A user's own manifest: what a row means, and what is told when it is wrong."""

from pathlib import Path

import pytest

from models.data.manifest import ManifestError, read_manifest, split_of_group

pytestmark = pytest.mark.unit


def _write(folder: Path, *lines: str) -> Path:
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_row_holds_paths_text_and_the_labels_that_are_given(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "said.txt").write_text("at last!", encoding="utf-8")
    header = "id,split,group,video,audio,text,emotion,valence,distress,abuse"
    _write(tmp_path, header, "1,train,anna,a.png,,said.txt,Joy,0.5,,1", "2,valid,ben,,,see you,,,0,")
    first, second = read_manifest(tmp_path)
    assert (first.video, first.audio, first.text) == (tmp_path / "a.png", None, "at last!")
    assert (first.emotion, first.valence, first.arousal, first.risk) == ("happiness", 0.5, None, {"abuse": 1.0})
    assert (second.text, second.emotion, second.risk, second.split) == ("see you", None, {"distress": 0.0}, "valid")


def test_a_blank_split_follows_from_the_group_and_a_blank_group_is_the_id(tmp_path: Path) -> None:
    rows = [f"{number},,{'' if number % 2 else f'g{number // 6}'},hello" for number in range(200)]
    samples = read_manifest(_write(tmp_path, "id,split,group,text", *rows))
    assert all(sample.split == split_of_group(sample.group) for sample in samples)
    assert samples[1].group == "1"
    assert {sample.split for sample in samples} == {"train", "valid", "test"}
    assert sum(sample.split == "train" for sample in samples) > 120


def test_everything_wrong_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "id,split,group,video,text,emotion,valence",
        "1,train,a,,hello,joyful,",
        "2,dev,a,,hello,,",
        "3,train,b,none.png,,,",
        "4,train,b,,hello,,7",
        "5,train,c,,,,",
        "6,train,d,,hello,,",
        "6,test,d,,hello,,",
    )
    with pytest.raises(ManifestError) as told:
        read_manifest(tmp_path)
    for part in (
        "manifest.csv:2: emotion is 'joyful', not one of neutral, happiness",
        "manifest.csv:3: split is 'dev'",
        "manifest.csv:4: video is 'none.png', which is no file",
        "manifest.csv:5: valence is '7', not a number in -1..1",
        "manifest.csv:6: video, audio and text are all blank",
        "id '6' is given twice",
        "group 'd' is in the splits train and test",
    ):
        assert part in str(told.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["id,feeling", "1,x"], "columns are id and any of split, group"),
        (["id,text"], "holds no row"),
        (["split,text", "train,x"], "columns are id"),
    ],
)
def test_a_table_of_another_kind_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(_write(tmp_path, *lines))


def test_a_path_out_of_the_folder_is_no_file_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret.png").touch()
    inside = tmp_path / "data"
    inside.mkdir()
    with pytest.raises(ManifestError, match="which is no file in"):
        read_manifest(_write(inside, "id,video", "1,../secret.png"))
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(tmp_path)
