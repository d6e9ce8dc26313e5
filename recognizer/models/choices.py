"""Enumerations that the database, the API, the pages and the log share."""

from django.db import models

from ml.serving.verdicts import Verdict as ModelVerdict


class Verdict(models.TextChoices):
    """Quality of a prediction, with the values of `ml.serving.verdicts.Verdict`."""

    SURE = ModelVerdict.SURE.value, "Sure"
    UNSURE = ModelVerdict.UNSURE.value, "Not sure"
    NOT_A_DIGIT = ModelVerdict.NOT_A_DIGIT.value, "Not a digit"
    SEVERAL = ModelVerdict.SEVERAL.value, "Several digits"
    BLANK = ModelVerdict.BLANK.value, "Blank"


class Digit(models.IntegerChoices):
    """A predicted digit."""

    ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE = ((number, str(number)) for number in range(10))


class Source(models.TextChoices):
    """Source of a submission."""

    CANVAS = "canvas", "Drawn"
    UPLOAD = "upload", "Uploaded"
    API = "api", "API"
    IMPORT = "import", "Imported"


class SubmissionState(models.TextChoices):
    """Progress of the prediction."""

    PENDING = "pending", "Waiting"
    PREDICTED = "predicted", "Answered"
    FAILED = "failed", "Failed"


class Fold(models.TextChoices):
    """Split of the site's data: training or holdout."""

    TRAIN = "train", "Train"
    HOLDOUT = "holdout", "Holdout"


class TruthValue(models.TextChoices):
    """A label: what a person says that an image shows."""

    ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE = ((digit, digit) for digit in "0123456789")
    NOT_A_DIGIT = "not_a_digit", "Not a digit"
    SEVERAL = "several", "Several digits"
    UNREADABLE = "unreadable", "Unreadable"


DIGITS = [value for value in TruthValue.values if value.isdigit()]


class TruthState(models.TextChoices):
    """Consensus of the labels of a submission. Only settled ones are used for training."""

    NONE = "none", "No label"
    PROVISIONAL = "provisional", "Suggested"
    SETTLED = "settled", "Settled"
    DISPUTED = "disputed", "Disputed"


class LabelKind(models.TextChoices):
    """Kind of a label: suggestion of a sender or visitor, or review of a reviewer."""

    SUGGESTION = "suggestion", "Suggestion"
    REVIEW = "review", "Review"


class LabelReason(models.TextChoices):
    """Reason for showing the submission to the person. Statistics on real traffic use random samples only."""

    OWN_PAGE = "own_page", "The drawer's own page"
    SUBMISSION_PAGE = "submission_page", "The submission's page"
    API = "api", "The API"
    DOUBT = "doubt", "Most doubtful"
    DISAGREEMENT = "disagreement", "Model versions disagree"
    SUGGESTION = "suggestion", "A visitor contradicted"
    SUSPECT = "suspect", "Suspected wrong label"
    SECOND_OPINION = "second_opinion", "Second opinion"
    NEWEST = "newest", "Newest"
    RANDOM = "random", "Random share"
    GRID = "grid", "Grid"
    HISTORY = "history", "History"


class Origin(models.TextChoices):
    """Origin of a model version."""

    BASE = "base", "Shipped base"
    TRAINING = "training", "Trained here"


class GateVerdict(models.TextChoices):
    """Decision of the promotion gate."""

    NOT_RUN = "not_run", "Not run"
    PASSED = "passed", "Passed"
    REFUSED = "refused", "Refused"


class RunState(models.TextChoices):
    """State of a training run."""

    QUEUED = "queued", "Waiting for the trainer"
    RUNNING = "running", "Running"
    PROMOTED = "promoted", "Promoted"
    REFUSED = "refused", "Refused by the gate"
    UNCHANGED = "unchanged", "Nothing new to learn"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


ACTIVE_RUN_STATES = (RunState.QUEUED, RunState.RUNNING)


class Scope(models.TextChoices):
    """Permission of a token."""

    READ = "read", "Read"
    SUBMIT = "submit", "Submit"
    REVIEW = "review", "Review"
    OPERATE = "operate", "Operate"
