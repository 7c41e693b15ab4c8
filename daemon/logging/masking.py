"""Hides credentials; without the logs, which take long to import."""

import re

__all__ = ["MASK", "mask_credentials"]

MASK = "***"
# Greedy up to the last "@": a password with an unescaped "@" or "/" is hidden whole.
_URL_PASSWORD = re.compile(r"([A-Za-z][\w+.-]*://[^\s:/@?#]*:)[^\s\"'<>]*@")
_PASSWORD_PARAMETER = re.compile(r"\b((?:ssl|sentinel_)?password=)[^\s&\"']+", re.IGNORECASE)


def mask_credentials(text: str) -> str:
    """Hide the passwords of all URLs and `password=` parameters in `text`.

    >>> mask_credentials("redis://me:hunter2@host/0")
    'redis://me:***@host/0'
    """
    text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
    return _PASSWORD_PARAMETER.sub(rf"\1{MASK}", text)
