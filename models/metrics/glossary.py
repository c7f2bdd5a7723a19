"""Glossary of the figures, for terminals and pages."""

EXPLANATIONS = {
    "n": "rows measured",
    "accuracy": "share of rows answered right; common labels count most",
    "uar": "unweighted average recall: the share found of each label's rows, every label counting the same",
    "macro_f1": "mean over labels of F1, every label counting the same",
    "weighted_f1": "mean over labels of F1, each label counting by its rows",
    "auroc": "chance that a row of a label gets a higher probability of it than another row; 0.5 is guessing",
    "ece": "expected calibration error: mean gap between how sure an answer is and how often it is right",
    "brier": "Brier score: mean squared error of the probabilities, summed over labels; 0 is perfect, 2 the worst",
    "nll": "negative log-likelihood of the right label, in nats; guessing among seven is 1.95",
    "label_ece": "ece with every label counting the same",
    "label_nll": "nll with every label counting the same",
    "precision": "share of the answers with this label that are right",
    "recall": "share of the rows with this label that were found",
    "f1": "harmonic mean of precision and recall",
    "alarms_per_hour": "false alarms in an hour with 240 lines without the risk",
    "confusion": "rows by their label (lines) and by the answer (columns)",
    "rows_per_second": "rows encoded and answered in a second on this machine",
    "loss": "mean training loss of the epoch, lower is better; comparable only within one run",
    "score": "mean of the figures beside it, by which the best epoch is chosen",
    "accuracy8": "accuracy over FER+'s eight expressions, at FER+'s own frequencies",
    "uar7_equal": "uar over the seven emotions, each taken as equally likely beforehand",
}
"""By the name in `affectd evaluate --json`, in `metrics.json` and in the progress of a training."""


def explained(name: str) -> str:
    """The explanation of a figure's name, or "".

    The name may stand behind a corpus: `goemotions/uar`.
    """
    return EXPLANATIONS.get(name.rpartition("/")[2], "")
