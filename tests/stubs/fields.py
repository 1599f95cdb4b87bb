"""Partial responses: the `fields` parameter of Google's JSON APIs, such as "nextPageToken,items(name,size)" or "items/name"."""


def _parsed(text: str, at: int = 0) -> tuple[dict, int]:
    """The mask as nested dictionaries; an empty one means all below."""
    mask: dict = {}
    name, place = "", mask
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == "/":
            place, name = place.setdefault(name, {}), ""
        elif letter == "(":
            inner, at = _parsed(text, at)
            place.setdefault(name, {}).update(inner)
            name, place = "", mask
        elif letter in ",)":
            if name:
                place.setdefault(name, {})
            name, place = "", mask
            if letter == ")":
                return mask, at
        else:
            name += letter
    if name:
        place.setdefault(name, {})
    return mask, at


def _kept(value, mask: dict):
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [_kept(one, mask) for one in value]
    if isinstance(value, dict):
        return {name: _kept(value[name], below) for name, below in mask.items() if name in value}
    return value


def masked(value: dict, fields: str | None) -> dict:
    """What `fields` leaves of an answer; all of it where none was asked for."""
    return value if fields is None else _kept(value, _parsed(fields)[0])
