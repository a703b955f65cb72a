"""A very small browser for the story: cookies, redirects, forms; no JavaScript, as on a phone in a walled garden."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, Request, build_opener

TIMEOUT = 20  # seconds


@dataclass
class Form:
    """One form of a page with its fields as they stand."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """What the browser shows."""

    url: str
    status: int
    html: str

    @property
    def text(self) -> str:
        """The words on the page, blanks folded."""
        body = re.sub(r"<(script|style|head)\b.*?</\1>", " ", self.html, flags=re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", body).split())

    def form(self, action_part: str) -> Form:
        """The first form whose action holds this text."""
        parser = _Forms()
        parser.feed(self.html)
        for form in parser.forms:
            if action_part in urljoin(self.url, form.action):
                return form
        raise LookupError(f"{self.url} has no form that leads to {action_part!r}; it says: {self.text[:500]}")


class Browser:
    """Follows links and sends forms; `headers` go to every address that begins with `site`."""

    def __init__(self, site: str, headers: dict[str, str]) -> None:
        self._site, self._headers = site, headers
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, url: str) -> Page:
        """Open an address."""
        return self._open(Request(url))  # noqa: S310 - addresses of our own sandbox

    def send(self, page: Page, action_part: str, **fields: str) -> Page:
        """Fill in and send a form of the page, and follow where it leads."""
        form = page.form(action_part)
        data = urlencode({**form.fields, **fields}).encode()
        return self._open(Request(urljoin(page.url, form.action), data=data, method=form.method))  # noqa: S310

    def _open(self, request: Request) -> Page:
        if request.full_url.startswith(self._site):
            for name, value in self._headers.items():
                request.add_header(name, value)
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            return Page(answer.url, answer.status, answer.read().decode())


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(values.get("action", ""), values.get("method", "get").upper()))
            self._open = True
        elif self._open and tag in ("input", "button") and values.get("name") and _counts(values):
            self.forms[-1].fields.setdefault(values["name"], values.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False


def _counts(values: dict[str, str]) -> bool:
    return values.get("type") not in ("submit", "checkbox", "radio") or "checked" in values
