"""Network addresses as they may be shown: passwords are left out, and whatever follows "?", where tokens stand."""

import re

_CREDENTIALS = re.compile(r"(?<=://).*@", re.DOTALL)  # up to the last @, since a password may hold "@" and "/"
_QUERY = re.compile(r"(?<=://)([^?#]*)[?#].*", re.DOTALL)


def without_password(text: str) -> str:
    """`text` without the credentials, query and fragment of the address in it; what holds no "://" stays as it is."""
    return _QUERY.sub(r"\1?...", _CREDENTIALS.sub("...@", text))
