"""BIDS datasets as cohorts."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from tests.bids import AFFINE, describe, image, mask, participants, table

from unlesion.scans import Cohort


@pytest.fixture
def root(tmp_path):
    """Three subjects; two sessions of the first, two runs of the second, a lesion in the third."""
    root = describe(tmp_path / "ds")
    for session in ("1", "2"):
        for suffix in ("T1w", "FLAIR"):
            image(root / f"sub-01/ses-{session}/anat/sub-01_ses-{session}_{suffix}.nii.gz")
    for run in ("01", "02"):
        image(root / f"sub-02/anat/sub-02_run-{run}_T1w.nii.gz", seed=int(run))
    image(root / "sub-03/anat/sub-03_ce-gadolinium_T1w.nii.gz")
    image(root / "sub-03/anat/sub-03_T1w.nii.gz")
    image(root / "sub-03/anat/sub-03_FLAIR.nii.gz")
    lesions = describe(
        root / "derivatives" / "lesions", DatasetType="derivative", GeneratedBy=[{"Name": "me"}]
    )
    mask(lesions / "sub-03/anat/sub-03_space-T1w_label-lesion_mask.nii.gz")
    participants(
        root,
        age=["31", "n/a", "57"],
        sex=["F", "M", "F"],
        site=["oslo", "oslo", "bergen"],
        smoker=["no", "yes", "no"],
    )
    return root


def by_key(cohort):
    return {entry.key.rsplit("/", 1)[-1]: entry for entry in cohort}


def test_rows(root):
    cohort = Cohort.open(root)
    assert [entry.key for entry in cohort] == [
        "sub-01/ses-1/anat/sub-01_ses-1_FLAIR",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w",
        "sub-01/ses-2/anat/sub-01_ses-2_FLAIR",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w",
        "sub-02/anat/sub-02_run-01_T1w",
        "sub-02/anat/sub-02_run-02_T1w",
        "sub-03/anat/sub-03_FLAIR",
        "sub-03/anat/sub-03_T1w",
        "sub-03/anat/sub-03_ce-gadolinium_T1w",
    ]
    rows = by_key(cohort)
    first = rows["sub-01_ses-2_T1w"]
    assert (first.subject, first.scan_id, first.modality) == ("sub-01", "sub-01_ses-2", ("T1",))
    assert {name: first.columns[name] for name in ("age", "sex", "site", "smoker", "session", "source")} == {
        "age": "31",
        "sex": "F",
        "site": "oslo",
        "smoker": "no",
        "session": "2",
        "source": "Test data",
    }
    assert rows["sub-02_run-02_T1w"].scan_id == "sub-02_run-2"
    assert rows["sub-02_run-02_T1w"].columns["age"] == ""
    assert rows["sub-03_ce-gadolinium_T1w"].modality == ("T1CE",)
    assert rows["sub-03_FLAIR"].modality == ("FLAIR",)
    for entry in cohort:
        entry.read()


def test_a_mask_in_the_space_of_one_image(root):
    rows = by_key(Cohort.open(root))
    masked = [name for name, entry in rows.items() if entry.mask_path]
    # Drawn on the T1w image; the one with a contrast agent is a T1w too, on the same grid.
    assert masked == ["sub-03_T1w", "sub-03_ce-gadolinium_T1w"]
    # The lesion is in the head, whichever image it was drawn on.
    assert {name for name, entry in rows.items() if entry.label == "anomalous"} == {*masked, "sub-03_FLAIR"}
    assert int(rows["sub-03_T1w"].read().lesions.sum()) == 8
    warnings = Cohort.open(root).warnings
    assert any("labels taken from lesion masks: 6 images healthy, 3 anomalous" in w for w in warnings)


def test_a_mask_for_every_image_of_the_session(root):
    (old,) = root.rglob("*_mask.nii.gz")
    old.rename(old.with_name("sub-03_desc-lesion_mask.nii.gz"))
    rows = by_key(Cohort.open(root))
    assert {name for name, entry in rows.items() if entry.mask_path} == {
        "sub-03_T1w",
        "sub-03_FLAIR",
        "sub-03_ce-gadolinium_T1w",
    }


def test_masks_go_where_their_grid_is(root):
    """A mask that names no space belongs to the image that it was drawn on: the grid tells."""
    (old,) = root.rglob("*_mask.nii.gz")
    old.unlink()
    other = AFFINE + np.diag([0, 0, 1.0, 0])
    image(root / "sub-03/anat/sub-03_FLAIR.nii.gz", affine=other)
    mask(old.with_name("sub-03_label-lesion_mask.nii.gz"), affine=other)
    rows = by_key(Cohort.open(root))
    assert [name for name, entry in rows.items() if entry.mask_path] == ["sub-03_FLAIR"]
    rows["sub-03_FLAIR"].read()


def test_a_mask_on_no_grid_is_refused_when_read(root, refuses):
    (path,) = root.rglob("*_mask.nii.gz")
    mask(path, shape=(9, 9, 9))
    rows = by_key(Cohort.open(root))
    assert rows["sub-03_T1w"].label == "anomalous"
    refuses(rows["sub-03_T1w"].read, "mask", "9 x 9 x 9")


def test_masks_of_other_spaces_and_subjects_are_told(root):
    folder = root / "derivatives" / "lesions"
    mask(folder / "sub-01/ses-1/anat/sub-01_ses-1_space-MNI152NLin2009cAsym_label-lesion_mask.nii.gz")
    mask(folder / "sub-09/anat/sub-09_label-lesion_mask.nii.gz")
    mask(folder / "sub-02/anat/sub-02_run-7_label-lesion_mask.nii.gz")
    mask(folder / "sub-02/anat/sub-02_desc-brain_mask.nii.gz")
    cohort = Cohort.open(root)
    (warning,) = [warning for warning in cohort.warnings if "belong to no image" in warning]
    for word in ("MNI152NLin2009cAsym", "sub-09", "run-7"):
        assert word in warning
    assert "brain_mask" not in warning
    assert sum(entry.mask_path is not None for entry in cohort) == 2


def test_sessions_and_runs_of_masks(root):
    folder = root / "derivatives" / "lesions"
    mask(folder / "sub-01/ses-2/anat/sub-01_ses-2_label-lesion_mask.nii.gz")
    mask(folder / "sub-02/anat/sub-02_run-1_label-lesion_mask.nii.gz")
    rows = by_key(Cohort.open(root))
    assert [name for name, entry in rows.items() if entry.mask_path] == [
        "sub-01_ses-2_FLAIR",
        "sub-01_ses-2_T1w",
        "sub-02_run-01_T1w",
        "sub-03_T1w",
        "sub-03_ce-gadolinium_T1w",
    ]


def test_an_empty_mask_is_healthy(root):
    (path,) = root.rglob("*_mask.nii.gz")
    mask(path, voxels=0)
    entry = by_key(Cohort.open(root))["sub-03_T1w"]
    assert entry.label == "healthy"
    assert entry.mask_path is not None


def test_two_masks_for_an_image(root):
    mask(root / "derivatives/raters/sub-03/anat/sub-03_space-T1w_desc-lesionB_mask.nii.gz")
    cohort = Cohort.open(root)
    (warning,) = [warning for warning in cohort.warnings if "several lesion masks" in warning]
    assert "derivatives/lesions" in warning
    assert by_key(cohort)["sub-03_T1w"].mask_path.parts[-4] == "lesions"


def test_no_word_of_illness_is_no_label_column(root):
    shutil.rmtree(root / "derivatives")
    cohort = Cohort.open(root)
    assert "label" not in cohort[0].columns
    assert all(entry.label == "healthy" for entry in cohort)
    assert cohort.warnings == ()


def test_labels_of_participants(root, refuses):
    shutil.rmtree(root / "derivatives")
    participants(
        root,
        label=["healthy", "anomalous", "healthy"],
        pathology=["none", "glioma", "none"],
        split=list("abc"),
    )
    rows = by_key(Cohort.open(root))
    assert {entry.subject for entry in rows.values() if entry.label == "anomalous"} == {"sub-02"}
    assert rows["sub-02_run-01_T1w"].pathology == "glioma"
    assert rows["sub-02_run-01_T1w"].split == "b"
    participants(root, label=["healthy", "sick", "healthy"])
    refuses(lambda: Cohort.open(root), "participants.tsv", "row 3", "sick")


def test_an_empty_label_is_left_out_and_not_healthy(root):
    shutil.rmtree(root / "derivatives")
    participants(root, label=["healthy", "n/a", "healthy"])
    cohort = Cohort.open(root)
    assert set(cohort.subjects) == {"sub-01", "sub-03"}
    assert any("empty for sub-02; left out" in warning for warning in cohort.warnings)


@pytest.mark.parametrize(
    ("columns", "ill"),
    [
        ({"group": ["control", "patient", "HC"]}, {"sub-02"}),
        ({"group": ["patient", "patient", "patient"]}, {"sub-01", "sub-02", "sub-03"}),
        ({"diagnosis": ["healthy control", "MS", "CIS"]}, {"sub-02", "sub-03"}),
        ({"Dx": ["CN", "AD", "CN"]}, {"sub-02"}),
        ({"pathology": ["none", "stroke", "none"], "group": ["x", "y", "z"]}, {"sub-02"}),
        ({"group": ["young", "old", "old"]}, set()),
    ],
)
def test_columns_that_tell_who_is_ill(columns, ill, root):
    shutil.rmtree(root / "derivatives")
    participants(root, **columns)
    cohort = Cohort.open(root)
    assert {entry.subject for entry in cohort if entry.label == "anomalous"} == ill
    assert len(cohort.warnings) == 1
    if ill:
        assert "labels taken from column" in cohort.warnings[0]
        assert {entry.pathology for entry in cohort if entry.label == "healthy"} <= {"none"}
    else:
        assert "'group' do not say" in cohort.warnings[0]
    if "diagnosis" in columns:
        assert {entry.pathology for entry in cohort if entry.label == "anomalous"} == {"MS", "CIS"}


def test_a_mask_outweighs_a_group_but_not_a_label(root):
    participants(root, group=["control", "control", "control"])
    cohort = Cohort.open(root)
    assert by_key(cohort)["sub-03_T1w"].label == "anomalous"
    assert any("taken as anomalous: sub-03" in warning for warning in cohort.warnings)
    participants(root, label=["healthy", "healthy", "healthy"])
    cohort = Cohort.open(root)
    assert by_key(cohort)["sub-03_T1w"].label == "healthy"
    assert any("please check: sub-03" in warning for warning in cohort.warnings)


def test_missing_people(root):
    participants(root, age=["31", "40"])
    (warning,) = [w for w in Cohort.open(root).warnings if "does not list" in w]
    assert "sub-03" in warning
    (root / "participants.tsv").unlink()
    assert any("no participants.tsv" in warning for warning in Cohort.open(root).warnings)


def test_sessions_have_tables_of_their_own(root):
    rows = [{"session_id": "ses-1", "age": "31"}, {"session_id": "ses-2", "age": "33"}]
    table(root / "sub-01" / "sub-01_sessions.tsv", rows)
    found = by_key(Cohort.open(root))
    assert found["sub-01_ses-2_T1w"].columns["age"] == "33"
    assert found["sub-03_T1w"].columns["age"] == "57"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age\tsex\n3\tF\n", ("participant_id",)),
        ("participant_id,age\nsub-01,3\n", ("participant_id", "tabs")),
        ("participant_id\tage\nsub-01\t3\t4\n", ("row 2", "3 values for 2 columns")),
        ("participant_id\tage\nsub-01\t3\nsub-01\t4\n", ("row 3", "sub-01", "twice")),
    ],
)
def test_tables_that_cannot_be_used(text, words, root, refuses):
    (root / "participants.tsv").write_text(text)
    refuses(lambda: Cohort.open(root), "participants.tsv", *words)


def test_where_channels_and_volume(root, refuses):
    assert len(Cohort.open(root, where=["modality=T1"])) == 5
    assert len(Cohort.open(root, where=["site=oslo", "session=1"])) == 2
    assert len(Cohort.open(root, where=["ce=gadolinium"])) == 1
    cohort = Cohort.open(root, channels=["T1", "FLAIR"])
    assert [entry.scan_id for entry in cohort if entry.subject == "sub-01"] == [
        "sub-01_ses-1",
        "sub-01_ses-2",
    ]
    assert [path.name for path in cohort[0].paths] == ["sub-01_ses-1_T1w.nii.gz", "sub-01_ses-1_FLAIR.nii.gz"]
    assert cohort[0].read().voxels.shape[0] == 2
    assert any("2 of 5 scans lack" in warning for warning in cohort.warnings)
    image(root / "sub-02/anat/sub-02_run-01_T1w.nii.gz", shape=(18, 20, 16, 3))
    refuses(by_key(Cohort.open(root))["sub-02_run-01_T1w"].read, "3 volumes")
    by_key(Cohort.open(root, volume=1))["sub-02_run-01_T1w"].read()


def test_a_mask_on_one_channel_is_the_scans(root):
    (entry,) = Cohort.open(root, where=["subject=sub-03"], channels=["FLAIR", "T1"])
    assert entry.label == "anomalous"
    assert int(entry.read().lesions.sum()) == 8


def test_what_is_no_scan_of_anatomy_stays_out(root):
    image(root / "sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.nii.gz", shape=(18, 20, 16, 4))
    image(root / "sub-01/ses-1/anat/sub-01_ses-1_mod-T1w_defacemask.nii.gz")
    image(root / "sourcedata/sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz")
    image(root / "derivatives/prep/sub-01/ses-1/anat/sub-01_ses-1_desc-preproc_T1w.nii.gz")
    image(root / "sub-02/anat/sub-02_acq-bad_T2w.nii.gz")
    (root / ".bidsignore").write_text("*acq-bad*\n")
    assert len(Cohort.open(root)) == 9
    (root / "manifest.csv").write_text("path\nsub-02/anat/sub-02_acq-bad_T2w.nii.gz\n")
    assert len(Cohort.open(root)) == 1


def test_empty_and_odd_datasets(tmp_path, refuses):
    root = describe(tmp_path / "ds")
    image(root / "sub-01/func/sub-01_task-rest_bold.nii.gz")
    refuses(lambda: Cohort.open(root), "without anatomical images")
    image(root / "sub-01/anat/sub-01_T1w.nii.gz")
    (root / "dataset_description.json").write_text("{broken")
    refuses(lambda: Cohort.open(root), "dataset_description.json", "JSON")
    (root / "dataset_description.json").unlink()
    # Not described, so a plain folder.
    assert {entry.key for entry in Cohort.open(root)} == {
        "sub-01/anat/sub-01_T1w",
        "sub-01/func/sub-01_task-rest_bold",
    }


def test_a_dataset_that_lost_its_description_is_no_plain_folder(root, refuses):
    # Its masks and its patients would be healthy scans to learn from.
    (root / "dataset_description.json").unlink()
    message = refuses(lambda: Cohort.open(root), "without dataset_description.json")
    (root / "participants.tsv").unlink()
    refuses(lambda: Cohort.open(root), "without dataset_description.json")
    text = message[message.index("{") : message.index("}") + 1]
    (root / "dataset_description.json").write_text(text)
    assert len(Cohort.open(root)) == 9


def test_a_pickle_in_the_dataset_is_never_opened(root):
    class Bomb:
        def __reduce__(self):
            return (shutil.rmtree, (str(root),))

    (root / ".ancpbids-dataset.pickle").write_bytes(pickle.dumps(Bomb()))
    assert len(Cohort.open(root)) == 9
    assert (root / "participants.tsv").is_file()


def test_files_that_a_data_manager_links_to(root, tmp_path):
    path = root / "sub-03/anat/sub-03_FLAIR.nii.gz"
    (tmp_path / "annex").mkdir()
    path.rename(tmp_path / "annex" / "key")
    path.symlink_to(tmp_path / "annex" / "key")
    by_key(Cohort.open(root))["sub-03_FLAIR"].read()


def test_the_digest_is_not_of_the_place(root, tmp_path):
    digest = Cohort.open(root).digest
    shutil.copytree(root, tmp_path / "elsewhere")
    assert Cohort.open(tmp_path / "elsewhere").digest == digest
    participants(tmp_path / "elsewhere", age=["32", "33", "34"])
    assert Cohort.open(tmp_path / "elsewhere").digest != digest


def test_sessions_without_a_mask_of_the_ill_are_not_called_healthy(root):
    folder = root / "derivatives" / "lesions"
    mask(folder / "sub-01/ses-2/anat/sub-01_ses-2_label-lesion_mask.nii.gz")
    cohort = Cohort.open(root)
    rows = by_key(cohort)
    assert "sub-01_ses-1_T1w" not in rows and rows["sub-01_ses-2_T1w"].label == "anomalous"
    assert rows["sub-02_run-01_T1w"].label == "healthy"
    assert any("in another session" in warning for warning in cohort.warnings)


def test_brain_masks_on_the_grid_of_an_image_are_its_roi(root):
    """Those of resampled derivatives lie elsewhere, and are passed over."""
    before = Cohort.open(root)
    folder = root / "derivatives" / "prep"
    mask(folder / "sub-03" / "anat" / "sub-03_desc-brain_mask.nii.gz", voxels=3000)
    mask(folder / "sub-02" / "anat" / "sub-02_desc-brain_mask.nii.gz", voxels=3000, shape=(9, 10, 8))
    cohort = Cohort.open(root)
    assert [entry.key for entry in cohort] == [entry.key for entry in before]
    assert {entry.subject for entry in cohort if entry.roi_path} == {"sub-03"}
    one = next(entry for entry in cohort if entry.roi_path).read()
    assert one.roi is not None and int(one.roi.sum()) == 3000
    assert any("brain masks of " in words and "estimated" in words for words in cohort.warnings)
    assert all(entry.roi_path is None for entry in before)


def test_what_is_no_usable_brain_mask_costs_no_scan(root):
    folder = root / "derivatives" / "prep" / "sub-03" / "anat"
    for name in ("label-brainstem", "desc-nonbrain"):
        mask(folder / f"sub-03_{name}_mask.nii.gz", voxels=48)
    mask(folder / "sub-03_desc-brain_mask.nii.gz", voxels=0)
    (folder / "sub-03_label-brain_mask.nii.gz").symlink_to(root / "not-fetched")
    assert all(entry.roi_path is None for entry in Cohort.open(root))
    mask(folder / "sub-03_desc-brain_mask.nii.gz", voxels=3000)
    assert {entry.roi_path.name for entry in Cohort.open(root) if entry.roi_path} == {
        "sub-03_desc-brain_mask.nii.gz"
    }
