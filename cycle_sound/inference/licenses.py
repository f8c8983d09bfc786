"""What a license may be called. Apart from the card that says so, since this loads no torch."""

import re

NAME = r"^[a-z0-9.+-]{0,40}$"  # as the Hub names one, by SPDX in small letters: mit, cc-by-4.0


def refusal(license: str) -> str:
    """Why a license cannot be called so; "" if it can."""
    known = re.fullmatch(NAME, license)
    return "" if known else f"{license!r}: must be the name of a license as on the Hub, such as mit or cc-by-4.0"
