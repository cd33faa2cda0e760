"""Files in an object store, such as S3: named by a URL, and read where they lie, by this process or by the workers of a cluster.

A place in a store is a UPath, which does what a Path does. Polars reads Parquet files itself, and s3fs all other bytes. Both find the
credentials in the environment. They are an optional extra.
"""

import re
import sys
from pathlib import Path
from typing import cast

from perpcomp.findings import NETWORK, Finding, InputError, refusal

URL = re.compile(r"^(s3|gs|az|abfs):/+(?=.)")
EXTRA = "Type: pip install 'perpcomp[cloud]'. It holds what S3 needs; Google's store needs gcsfs besides, and Azure's adlfs."
CREDENTIALS = "Are bucket, region and credentials right? They stand in the environment, such as AWS_ACCESS_KEY_ID."


def url(path: Path) -> str:
    """The path as it was typed: a Path writes only one of a URL's two slashes."""
    return URL.sub(r"\1://", str(path))


def located(path: Path) -> Path:
    """The path, or the place in an object store where it is the URL of one.

    InputError where nothing lies there, where the store does not answer (exit 3), or where what reads it is not installed.
    """
    if not URL.match(str(path)) or path.exists():
        return path
    try:
        from upath import UPath

        place = cast(Path, UPath(url(path)))
        found = place.exists()
    except ImportError as error:
        raise refusal(url(path), f"What reads this object store is not installed ({error}).", EXTRA) from None
    except Exception as error:
        if not failed(error):
            raise
        raise InputError([unanswered(error)], NETWORK) from None
    if not found:
        raise refusal(url(path), "The object store holds nothing of this name.", CREDENTIALS)
    return place


def failed(error: Exception) -> bool:
    """Whether an object store raised this: botocore's exceptions, and OSErrors without a number, which those of the system have."""
    library = sys.modules.get("botocore.exceptions")
    if library is None:
        return False
    numberless = isinstance(error, OSError) and error.errno is None
    return numberless or isinstance(error, (library.BotoCoreError, library.ClientError))


def unanswered(error: Exception) -> Finding:
    """One of these failures in words."""
    reason = (str(error).rstrip(".").splitlines() or [type(error).__name__])[0]
    return Finding("error", "the object store", f"It did not give what was asked ({reason}).", CREDENTIALS)
