"""A user's own manifest: what a row means, and what is told when it is wrong."""

from pathlib import Path

import pytest

from models.data.user.manifest import ManifestError, read_manifest, split_of_group
from models.training.command import train
from models.training.settings import TrainingError

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
        (["name,feeling", "1,x"], r"columns are id and any of split, group, .* \(are name, feeling\)"),
        (["id,text"], "holds no row"),
        ([""], "is empty; its first line has to name columns"),
        (["id,text,Text", "1,a,b"], "columns that are there twice: text"),
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
    with pytest.raises(ManifestError, match="which is outside of"):
        read_manifest(_write(inside, "id,video", "1,../secret.png"))
    with pytest.raises(ManifestError, match="which is outside of"):
        read_manifest(_write(inside, "id,video", f"1,{tmp_path / 'secret.png'}"))


def test_a_linked_folder_is_told_from_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").touch()
    inside = tmp_path / "data"
    inside.mkdir()
    (inside / "videos").symlink_to(tmp_path / "films")
    with pytest.raises(ManifestError, match=r"'videos/a\.mp4', which is a link to .*films/a\.mp4, outside of .*copy"):
        read_manifest(_write(inside, "id,video", "1,videos/a.mp4"))
    (tmp_path / "linked").symlink_to(inside)
    (inside / "b.png").touch()
    assert read_manifest(_write(tmp_path / "linked", "id,video", "1,b.png"))[0].video == inside / "b.png"


def test_a_folder_without_a_manifest_says_so_and_what_may_have_been_meant(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=rf"^{tmp_path}: holds no manifest\.csv$"):
        read_manifest(tmp_path)
    (tmp_path / "Manifest.xlsx").touch()
    with pytest.raises(ManifestError, match=r"there is Manifest\.xlsx, which has another name"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="nowhere: no such folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(TrainingError, match=r"holds no manifest\.csv.*nor is there a known corpus"):
        train("all", tmp_path, tmp_path / "out")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("begins", ["", "\ufeff"])
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path: Path, delimiter: str, begins: str) -> None:
    rows = [["ID ", "Split", "TEXT", "Emotion", "distress"], ["1", "Train", '"well, good"', "JOY", "Yes"]]
    rows += [["", "", "", "", ""], ["2", "valid", "no", "", "0"], ["3", "valid", "hm", "", "false"]]
    _write(tmp_path, *(delimiter.join(row) for row in rows))
    content = (tmp_path / "manifest.csv").read_text()
    (tmp_path / "manifest.csv").write_bytes((begins + content.replace("\n", "\r\n")).encode())
    first, second, third = read_manifest(tmp_path)
    assert (first.id, first.split, first.text, first.emotion) == ("1", "train", "well, good", "happiness")
    assert [sample.risk["distress"] for sample in (first, second, third)] == [1, 0, 0]


def test_a_table_of_two_bytes_a_letter_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes("id,text\n1,hello\n".encode("utf-16"))
    with pytest.raises(ManifestError, match="is UTF-16; save it as UTF-8"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(b"id,text\n1,hello\n2,caf\xe9\n")
    with pytest.raises(ManifestError, match=r"manifest\.csv:3: not UTF-8"):
        read_manifest(tmp_path)


def test_columns_that_are_not_used_are_named_once_and_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write(tmp_path, "id,text,notes,emotoin,valence,arousal", "1,hello,by Ann,joy,0.5,")
    assert [read_manifest(tmp_path)[0].text for _ in range(2)] == ["hello", "hello"]
    said = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert said == [
        "column 'notes' is ignored",
        "column 'emotoin' is ignored; if 'emotion' is meant, name it so",
        "column 'valence' is not used: the model's valence follows from its emotions",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,,a.wav,,,,", "video is 'a.wav', which is sound; it belongs in the column audio"),
        ("1,,,b.png,,,", "audio is 'b.png', which is a picture; it belongs in the column video"),
        ("1,,B.PNG,,,,", "no file in .*; perhaps 'b.png' is meant"),
        ("1,,sub\\c.png,,,,", "perhaps 'sub/c.png' is meant"),
        ("1,,,,hello,joyfull,", "emotion is 'joyfull', .*; perhaps 'happiness' is meant"),
        ("1,,,,hello,NaN,", "leave the cell blank where there is none"),
        ("1,validation,,,hello,,", "split is 'validation'.*; perhaps 'valid' is meant"),
        ("1,,,,hello,,nan", "distress is 'nan', not a number in 0..1; leave the cell blank"),
        ("1,,,,hello,,maybe", "distress is 'maybe', not a number"),
        ("1,,,,well, hello,joy,0", "8 cells for 7 columns; a text that holds ',' has to stand in double quotes"),
        (f"1,,{'very ' * 90},,,,", "video is 'very very .*, which is no path"),
        ("1,,,,hello,,\n1,,,,again,,", r"manifest\.csv:3: id '1' is given twice \(line 2 has it too\)"),
    ],
)
def test_a_cell_that_cannot_be_used_is_told_with_what_may_be_meant(tmp_path: Path, row: str, message: str) -> None:
    for name in ("a.wav", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(ManifestError, match=message):
        read_manifest(_write(tmp_path, "id,split,video,audio,text,emotion,distress", row))


def test_thousands_of_wrong_lines_are_counted_after_the_first(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="950 lines more are wrong") as told:
        read_manifest(_write(tmp_path, "id,text,emotion", *(f"{n},hello,glum" for n in range(1000))))
    assert len(str(told.value).splitlines()) == 51
