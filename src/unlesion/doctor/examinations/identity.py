"""Header fields that may say who a patient is. Their contents are never repeated, only their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unlesion.doctor.examination import Measured, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight

DICOM_FIELDS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientBirthTime", "PatientAddress", "OtherPatientIDs",
    "OtherPatientNames", "PatientTelephoneNumbers", "PatientMotherBirthName", "MilitaryRank", "EthnicGroup",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord", "InstitutionName",
    "InstitutionAddress", "StationName", "AccessionNumber", "StudyDate", "SeriesDate", "AcquisitionDate",
    "PatientComments", "ImageComments",
)  # fmt: skip

# NIfTI fields that hold free text; `descrip` is usually a program's version and its echo times.
NIFTI_FIELDS = ("descrip", "aux_file", "intent_name", "db_name")

# A date, a birth date, a name in DICOM's way (Doe^Jane), or a word that announces one.
TELLING = re.compile(
    r"(?:19|20)\d\d[-/.]?(?:0[1-9]|1[0-2])[-/.]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?<!\d)\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d"
    r"|[A-Za-z]{2,}\^[A-Za-z]+"
    r"|\b(?:patient|name|birth|dob|mrn|born|hospital|physician)\b",
    re.IGNORECASE,
)

# Keys of a picture's texts that only say how its pixels are stored.
HARMLESS = {
    "dpi", "gamma", "interlace", "transparency", "jfif", "jfif_version", "jfif_unit", "jfif_density",
    "progressive", "progression", "adobe", "adobe_transform", "compression", "srgb", "chromaticity",
    "icc_profile", "aspect", "software", "exif", "photoshop",
}  # fmt: skip


class Identity(Measured):
    """No header says who the patient is."""

    name = "identity"

    def measure(self, sight: Sight) -> tuple[str, ...] | None:
        found: dict[str, None] = {}
        entry = sight.entry
        series = entry.series or ((),) * len(entry.paths)
        # A series has one patient: its first file says who.
        for path in dict.fromkeys((*files, path)[0] for path, files in zip(entry.paths, series, strict=True)):
            for name in telling_fields(path):
                found[name] = None
        return tuple(found) or None

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        fields: defaultdict[str, list[str]] = defaultdict(list)
        where = []
        for one, names in self.known(seen):
            where.append(one.key)
            for name in names:
                fields[name].append(one.key)
        if where:
            common = sorted(fields, key=lambda name: -len(fields[name]))
            shown = ", ".join(common[:8]) + (", …" if len(common) > 8 else "")
            yield Finding(
                code="identity.header",
                level="warning",
                where=tuple(where),
                what=f"header fields may say who the patient is: {shown}",
                mend=_mend(seen, fields),
                of=len(seen),
            )


def _mend(seen: Sequence[Seen], fields: Iterable[str]) -> str:
    """What to do; says which of the fields `unlesion detect` copies."""
    carried = "carry none of them"
    # Folders of DICOM name their subjects by identifier; manifests name them otherwise.
    if "DICOM PatientID" in fields and any("series" in one.entry.columns for one in seen):
        carried = "carry PatientID, as the subject, and the description of a series where it is a key"
    return (
        "empty them before sharing files (their contents are not repeated here); results of `unlesion detect` "
        f"{carried}"
    )


def telling_fields(path: Path) -> tuple[str, ...]:
    """Names of a file's header fields that may identify a patient; of a folder, its first DICOM file's."""
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz", ".img", ".hdr")):
        return _nifti(path)
    if name.endswith((".png", ".jpg", ".jpeg", ".tif", ".tiff")):
        return _picture(path)
    if name.endswith(".npy"):
        return ()
    return _dicom(path)


def _nifti(path: Path) -> tuple[str, ...]:
    import nibabel

    with nibabel.imageglobals.LoggingOutputSuppressor():
        header: Any = nibabel.load(path).header  # type: ignore[attr-defined, unused-ignore]
    found = []
    for name in NIFTI_FIELDS:
        text = bytes(header[name]).decode("latin-1").strip("\0 ") if name in header else ""
        # A database entry or an auxiliary file is named after somebody more often than not.
        if TELLING.search(text) or (name == "db_name" and text):
            found.append(f"NIfTI {name}")
    for extension in getattr(header, "extensions", ()):
        code = int(extension.get_code())
        content = extension.get_content()
        text = content.decode("latin-1", "replace") if isinstance(content, bytes) else str(content)
        # Code 2 is a whole DICOM header.
        if code == 2 or TELLING.search(text):
            found.append(f"NIfTI extension {code}")
    return tuple(found)


def _picture(path: Path) -> tuple[str, ...]:
    from PIL import ExifTags, Image

    found = []
    with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as picture:
        for key, value in picture.info.items():
            name = str(key).lower()
            if name in HARMLESS or not isinstance(value, str | bytes):
                continue
            text = value.decode("latin-1", "replace") if isinstance(value, bytes) else value
            if TELLING.search(f"{key} {text}"):
                found.append(f"{picture.format} text {key}")
        if "exif" in picture.info or picture.format in ("JPEG", "TIFF"):
            for tag, value in picture.getexif().items():
                word = ExifTags.TAGS.get(tag, "")
                dated = word in ("DateTime", "Artist", "GPSInfo", "XPAuthor", "Copyright")
                if dated or (isinstance(value, str) and TELLING.search(value)):
                    found.append(f"EXIF {word or tag}")
    return tuple(found)


def _dicom(path: Path) -> tuple[str, ...]:
    import pydicom

    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    for file in files[:20]:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True)
        except (pydicom.errors.InvalidDicomError, OSError):
            continue
        found = [f"DICOM {name}" for name in DICOM_FIELDS if str(header.get(name, "") or "").strip()]
        if str(header.get("BurnedInAnnotation", "")).upper() == "YES":
            found.append("DICOM BurnedInAnnotation (text in the pixels)")
        return tuple(found)
    return ()
