"""What the file of a classifier says about it after a training."""

from network.metadata import Metadata
from text.sources import LabelledTexts, source_name
from text.tokens.window_settings import WindowSettings


def classifier_metadata(assessment: dict, labelled: LabelledTexts, windows: WindowSettings) -> Metadata:
    """Return the metadata of a classifier that was trained and tested.

    Args:
        assessment: its test and its calibration, as `evaluation.assessment.assess` returns them.
        labelled: the data set of its training and its test.
        windows: how it reads a text.
    """
    return Metadata(
        **assessment["calibration"],
        windows=windows,
        data={"name": source_name(labelled.name), "rows": len(labelled.texts), "sha256": labelled.sha256},
        test=assessment["test"],
    )
