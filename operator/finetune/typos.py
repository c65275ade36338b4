"""What was probably meant, where nothing has the name that somebody typed."""

from contextlib import aclosing
from difflib import get_close_matches
from urllib.parse import quote

from finetune.api import CORE, JOBS, Api
from finetune.errors import FineTuneError, NotFound


async def explained(api: Api, error: NotFound) -> NotFound:
    """Return the error with what may be wrong in the name, as far as the user may look for it."""
    if error.place is None:
        return error
    namespace, name = error.place
    try:
        await check_namespace(api, namespace)
        async with aclosing(api.pages(JOBS.path(namespace), {})) as pages:
            # The first page will do: of more names than that, one is always alike.
            names = [str(each["metadata"]["name"]) for each in (await anext(pages))[0]]
    except NotFound as missing:
        return missing
    except FineTuneError:
        return error
    alike = get_close_matches(name, names, 1)
    return NotFound(f"{error}: did you mean {alike[0]}?") if alike else error


async def check_namespace(api: Api, namespace: str) -> None:
    """Raise NotFound where there is no such namespace. Who may not look, or gets no answer now, is told nothing."""
    try:
        await api.get(f"{CORE}/namespaces/{quote(namespace, safe='')}")
    except NotFound:
        raise NotFound(f"there is no namespace {namespace}") from None
    except FineTuneError:
        return
