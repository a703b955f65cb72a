"""Whether two names mean the same person, as banks mangle them: capitals, umlauts, order, typos, cut ends. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

NOT, FAMILY, FULL = 0, 1, 2
"How far a name agrees: not, the family name alone, all of it."

_TITLES_AND_FORMS = (
    "HERR FRAU DR PROF DIPL ING MAG FAM FAMILIE UND AND ODER OR U MR MRS MS GMBH MBH AG KG OHG UG EK EV EU LTD LLC "
    "INC PLC SA SL SRL SARL SAS BV NV CO COMPANY THE DER DIE DAS VON VAN DE"
)
_IGNORED = frozenset(_TITLES_AND_FORMS.split())
_LOST = "?\N{REPLACEMENT CHARACTER}"
_WORD = re.compile(rf"[A-Z0-9{re.escape(_LOST)}]+")


@lru_cache(maxsize=200_000)
def fold(text: str) -> str:
    """Capitals without accents; ä, ae and a are one, as a bank writes any of them; bytes read wrongly are put right."""
    if "Ã" in text or "Â" in text:
        try:
            text = text.encode("cp1252").decode("utf-8")
        except UnicodeError:
            text = re.sub(r"[ÃÂ].?", "?", text)
    bare = "".join(char for char in unicodedata.normalize("NFKD", text.upper()) if not unicodedata.combining(char))
    bare = bare.replace("Ø", "O").replace("Ł", "L").replace("Æ", "AE")
    return re.sub(r"([AOU])E", r"\1", bare).replace("SS", "S")


@lru_cache(maxsize=200_000)
def words(name: str) -> tuple[str, ...]:
    """The words of a name that tell people apart, the family name last."""
    before, comma, after = name.partition(",")
    ordered = f"{after} {before}" if comma else name
    found = [word for word in _WORD.findall(fold(ordered)) if len(word.strip(_LOST)) > 1]
    return tuple(word for word in found if word not in _IGNORED) or tuple(found)


def keys(name: str) -> tuple[str, ...]:
    """What to find a name by: its first and its family name together."""
    found = words(name)
    return (f"{found[0]} {found[-1]}" if len(found) > 1 else found[0],) if found else ()


def keys_within(said: Sequence[str]) -> set[str]:
    """The keys of all names that some words can be, in either order."""
    some = said[:30]
    return set(some) | {f"{one} {other}" for one in some for other in some if one != other}


def agreement(name: str, said: Sequence[str]) -> int:
    """How far `said`, words as a bank has them, names the person `name`: NOT, FAMILY or FULL."""
    wanted = words(name)
    if not wanted or not said:
        return NOT
    there = [_same(word, said) for word in wanted]
    if len(wanted) == 1:
        return FULL if there[0] and len(wanted[0]) > 4 else FAMILY if there[0] else NOT
    if all(there) or (len(wanted) > 2 and sum(there) >= len(wanted) - 1 and there[-1]):
        return FULL
    return FAMILY if there[-1] and len(wanted[-1]) > 2 else NOT


def _same(word: str, said: Sequence[str]) -> bool:
    """Whether a word is among others, with a slip in it if it is long enough, or with letters that got lost."""
    if word in said:
        return True
    first, last, size = word[0], word[-1], len(word)
    for other in said:
        if "?" in other or "\N{REPLACEMENT CHARACTER}" in other:
            pattern = "".join(".{1,2}" if char in _LOST else re.escape(char) for char in other)
            if len(other.strip(_LOST)) > 2 and re.fullmatch(pattern, word):
                return True
        elif size > 4 and len(other) > 4 and (other[0] == first or other[-1] == last) and one_edit(word, other):
            return True  # a slip leaves the first letter or the last
    return False


def one_edit(left: str, right: str) -> bool:
    """Whether one letter more, less or other, or two exchanged, make one of the other."""
    if left == right:
        return True
    if abs(len(left) - len(right)) > 1:
        return False
    start = next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    a, b = left[start:], right[start:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (len(a) > 1 and a[:2] == b[1::-1] and a[2:] == b[2:])
    return a[1:] == b if len(a) > len(b) else a == b[1:]


def edits(text: str, letters: Iterable[str] = "0123456789") -> set[str]:
    """Everything that is one slip away: a letter of `letters` more, another, one less, or two neighbours exchanged."""
    found = {text[:at] + text[at + 1 :] for at in range(len(text))}
    found |= {text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)}
    for letter in letters:
        found |= {text[:at] + letter + text[at + 1 :] for at in range(len(text))}
        found |= {text[:at] + letter + text[at:] for at in range(len(text) + 1)}
    found.discard(text)
    return found
