"""Whether enough of the clips asked for are good to learn from."""

from collections import Counter
from collections.abc import Sequence

from cycle_sound.acquisition.manifest import Row
from cycle_sound.errors import NoPairs, TooManyRejected
from cycle_sound.params import SOURCE_SPLITS

NAMED = 3  # reasons that an error gives


def check(rows: Sequence[Row], max_rejected: float) -> None:
    """Judge the rows of a manifest, at least one.

    Raises `TooManyRejected` where a larger fraction than `max_rejected` is not ok, and `NoPairs` where no pair of train
    or none of test is.
    """
    rejected = Counter(row.status for row in rows if row.status != "ok")
    fraction = rejected.total() / len(rows)
    if fraction > max_rejected:
        examples = {row.status: row.reason for row in reversed(rows)}
        reasons = "; ".join(f"{count} {status} ({examples[status]})" for status, count in rejected.most_common(NAMED))
        raise TooManyRejected(
            rejected=rejected.total(), asked=len(rows), fraction=fraction, allowed=max_rejected, reasons=reasons
        )
    for split in SOURCE_SPLITS:
        if not any(row.fate == split for row in rows):
            fates = ", ".join(f"{count} {status}" for status, count in rejected.most_common(NAMED)) or "none rejected"
            raise NoPairs(split=split, asked=len(rows), fates=fates)
