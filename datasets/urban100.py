"""Urban100: 100 photographs of buildings, full of repeating lines.

100 colour PNG of about a megapixel. Source: Huang et al., CVPR 2015, folder data/Urban100/image_SRF_4
(the *_HR.png files) of github.com/jbhuang0604/SelfExSR. No licence is stated; use for research only.

No manifest is shipped: only the number of images is checked, and `note` says so. For 8 images that are
checked one by one, see `urban100_subset`.

Traps: image_SRF_2/*_HR.png are half-size versions. Gray tables use an unspecified gray conversion; this
set is colour.
"""

from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import Archive, FolderSet


class Urban100(FolderSet):
    """100 colour images, their content not checked."""

    name = "urban100"
    title = "Urban100"
    channels = 3
    source = "https://github.com/jbhuang0604/SelfExSR, folder data/Urban100/image_SRF_4"
    licence = "not stated; research use"
    folders = ("urban100", "Urban100")
    count = 100
    how = "Only the *_HR.png files count."
    archive = Archive(
        url="https://raw.githubusercontent.com/jbhuang0604/SelfExSR/8f6dd8c1d20cb7e8792a7177b4f6fd677633f598/"
        "data/Urban100/image_SRF_4"
        "/{file}",
        sha256=None,
        members="",
        size="about 136 MB, 100 files",
        files=[f"img_{number:03d}_SRF_4_HR.png" for number in range(1, 101)],
    )

    def _files(self) -> list[Path]:
        files = super()._files()
        # The original folder holds low-resolution versions of every image as well.
        return [path for path in files if path.stem.endswith("_HR")] or files
