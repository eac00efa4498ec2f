from __future__ import annotations

import numpy as np
import pytest

from unlesion.errors import BadInput
from unlesion.scans import Cohort


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest as it is given and give its path."""

    def write(content):
        path = tmp_path / "manifest.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("name", ["m.csv", "folder", "x.nii.gz"])
def test_missing(name, tmp_path, refuses):
    refuses(lambda: Cohort.open(tmp_path / name), tmp_path / name, "no such file")


def test_neither_manifest_nor_image(tmp_path, refuses):
    (tmp_path / "x.bin").write_bytes(b"abc")
    refuses(lambda: Cohort.open(tmp_path / "x.bin"), "x.bin", ".csv")
    refuses(lambda: Cohort.open("a\0b"), "no such file")


@pytest.mark.parametrize("content", ["", "\n\n", " \n", ",,\n"])
def test_empty(content, manifest, refuses):
    refuses(lambda: Cohort.open(manifest(content)), "manifest.csv", "'path'")


def test_header_alone(manifest, refuses):
    refuses(lambda: Cohort.open(manifest("path,label\n")), "lists no images")


def test_no_column_path(manifest, refuses):
    refuses(lambda: Cohort.open(manifest("file,label\nx.png,healthy\n")), "'path'", "file, label")
    refuses(lambda: Cohort.open(manifest("path;label\nx.png;healthy\n")), "commas")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"path\nx\0y.png\n", "binary"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("path,site\nx.png,Köln\n".encode("latin-1"), "UTF-8"),
        ("path\nx.png\n".encode("utf-16"), "binary"),
        (b"\xff\xfe\xfa" * 50, "UTF-8"),
        (b'path\n"x.png', "CSV"),
        (b"path,site\nx.png," + b"a" * 200_000, "CSV"),
    ],
)
def test_no_table(content, word, manifest, refuses):
    refuses(lambda: Cohort.open(manifest(content)), "manifest.csv", word)


def test_random_bytes_are_never_a_traceback(manifest):
    random = np.random.default_rng(0)
    for size in (1, 10, 1000, 100_000):
        for alphabet in (256, 128, 64):
            content = random.integers(1, alphabet, size, dtype=np.uint8).tobytes()
            for start in (b"", b"path,label\n"):
                with pytest.raises(BadInput) as caught:
                    Cohort.open(manifest(start + content + b"\n,,,"))
                assert "\n" not in str(caught.value)
                assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("position", "abc"),
        ("position", "1.5"),
        ("position", "-0.1"),
        ("position", "nan"),
        ("spacing_mm", "x"),
        ("spacing_mm", "0"),
        ("spacing_mm", "1,2,3,4"),
        ("spacing_mm", "inf"),
        ("label", "ill"),
        ("label", "Healthy"),
        ("label", ""),
        ("path", ""),
    ],
)
def test_wrong_values_name_their_row_and_column(column, value, save_manifest, refuses):
    good = {"path": "a.png", "position": "0.5", "spacing_mm": "1", "label": "healthy"}
    path = save_manifest([good, good | {"path": "b.png", column: value}])
    refuses(lambda: Cohort.open(path), "manifest.csv", "row 3", column, value)


@pytest.mark.parametrize("column", ["path", "mask_path", "roi_path", "twin_path"])
@pytest.mark.parametrize("place", ["../x.png", "a/../../x.png", "/etc/passwd", "//x.png", ".."])
def test_paths_out_of_the_folder(column, place, save_manifest, refuses):
    path = save_manifest([{"path": "x.png", "mask_path": "", column: place}])
    refuses(lambda: Cohort.open(path), "row 2", column, place, "folder")


def test_names_that_only_look_like_the_way_out(save_manifest):
    assert Cohort.open(save_manifest([{"path": "..x/y.png"}]))[0].key == "..x/y"


def test_path_that_is_the_folder(save_manifest, refuses):
    refuses(lambda: Cohort.open(save_manifest([{"path": "./"}])), "row 2")


def test_rows_of_another_length(manifest, refuses):
    refuses(
        lambda: Cohort.open(manifest("path,label\nx.png,healthy\ny.png\n")), "row 3", "1 value for 2 columns"
    )
    refuses(lambda: Cohort.open(manifest("path,site\nx.png,Paris, France\n")), "row 2", "quotes")


def test_columns_twice(manifest, refuses):
    refuses(lambda: Cohort.open(manifest("path,path\nx.png,y.png\n")), "twice")


def test_images_twice(save_manifest, refuses):
    rows = [{"path": "x.png", "rater": "1"}, {"path": "./x.png", "rater": "2"}]
    refuses(lambda: Cohort.open(save_manifest(rows)), "x is listed twice")
    assert len(Cohort.open(save_manifest(rows), where=["rater=2"])) == 1


def test_empty_folder(tmp_path, refuses):
    refuses(lambda: Cohort.open(tmp_path), tmp_path, "no image")


def test_wrong_rows_that_are_not_selected_do_no_harm(save_manifest):
    rows = [
        {"path": "a.png", "source": "a", "label": "healthy"},
        {"path": "b.png", "source": "b", "label": "?"},
    ]
    assert len(Cohort.open(save_manifest(rows), where=["source=a"])) == 1


def test_missing_images_are_found_on_reading(save_manifest, refuses):
    (entry,) = Cohort.open(save_manifest([{"path": "gone.png"}]))
    refuses(entry.read, "gone.png", "no such file")
