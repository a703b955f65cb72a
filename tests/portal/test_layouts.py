"""The layouts and macros, rendered by a small application: what is typed is shown, nothing runs, no style is inline."""

import enum
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask, flash, render_template_string
from flask_wtf import CSRFProtect, FlaskForm
from jinja2 import StrictUndefined
from wtforms import BooleanField, RadioField, SelectField, StringField, SubmitField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

PORTAL = Path(__file__).resolve().parents[2] / "portal"
LAYOUTS = ["base_subscriber.html", "base_captive.html", "base_staff.html"]
SCRIPT = "<script>alert(1)</script>"
MENU = {"nav": [("one", "One"), ("two", "Two & more")], "account_name": SCRIPT, "logout_url": "/out"}


class AccessLevel(enum.IntEnum):
    FULL = 0
    REDUCED = 1
    WALLED = 2
    BLOCKED = 3


class PaymentForm(FlaskForm):
    amount = StringField("Amount", [InputRequired("Please type the amount.")], description="In euros.")
    method = SelectField("Method", [InputRequired()], choices=[SelectChoice("cash", "Cash")])
    when = RadioField(
        "When", [InputRequired("Please say when.")], choices=[SelectChoice("now", "Now"), SelectChoice("then", "Then")]
    )
    note = TextAreaField("Note")
    receipt = BooleanField("Send a receipt")
    send = SubmitField("Record")


class Page(HTMLParser):
    """A page's elements as (tag, attributes), and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def by_id(self, wanted):
        (found,) = [attributes for _, attributes in self.elements if attributes.get("id") == wanted]
        return found


@pytest.fixture
def app():
    app = Flask("pages", static_folder=str(PORTAL / "static"), template_folder=str(PORTAL / "templates"))
    app.secret_key = "for tests only"
    # Strict, so that the layouts hold in an application that is strict about what a template names.
    app.jinja_env.undefined = StrictUndefined
    CSRFProtect(app)
    for endpoint in ("one", "two"):
        app.add_url_rule(f"/{endpoint}", endpoint, lambda: "")
    return app


@pytest.fixture
def render(app):
    def render_source(source, path="/", messages=(), **context):
        with app.test_request_context(path):
            for message, category in messages:
                flash(message, category)
            return render_template_string(source, **context)

    return render_source


@pytest.fixture
def macro(render):
    return lambda call, **context: render('{% import "macros.html" as m %}' + call, **context)


def page_of(layout, before=""):
    """A page that extends the layout; `before` is what it sets first."""
    content = '{% block content %}{{ m.stat("A", 1) }}{% endblock %}'
    return '{% extends "' + layout + '" %}' + before + "{% block title %}T{% endblock %}" + content


@pytest.mark.parametrize("context", [{}, MENU], ids=["before login", "logged in"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_obeys_the_content_security_policy(render, layout, context):
    html = render(page_of(layout), messages=[(SCRIPT, "error")], provider_name=SCRIPT, **context)
    page = Page(html)
    for tag, attributes in page.elements:
        assert tag != "style"
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith(("on", "hx-on"))]
    assert all(script["src"].startswith("/static/") for script in page.all("script"))
    assert "alert(1)" in page.text
    assert not [script for script in page.all("script") if "src" not in script]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_has_language_title_skip_link_and_messages(render, layout):
    page = Page(render(page_of(layout), messages=[("Done.", "success")], provider_name="Northwind"))
    assert page.all("html")[0]["lang"] == "en"
    assert "T · Northwind" in page.text
    assert page.all("a")[0]["href"] == "#content"
    assert page.by_id("content")["tabindex"] == "-1"
    assert page.by_id("messages")["role"] == "status"
    assert {"class": "tk-note tk-good"} in page.all("p")
    assert Page(render(page_of(layout), provider_name="N", lang="el")).all("html")[0]["lang"] == "el"


def test_captive_page_has_no_script_and_two_stylesheets(render):
    page = Page(render(page_of("base_captive.html"), provider_name="N", provider_contact="Call 0800 1.", **MENU))
    assert not page.all("script")
    sheets = [link["href"] for link in page.all("link") if link["rel"] == "stylesheet"]
    assert [sheet.rsplit("/", 1)[1] for sheet in sheets] == ["bootstrap.min.css", "tollkeeper.css"]
    assert "N · Call 0800 1." in page.text
    assert not page.all("nav")


def test_staff_page_carries_the_csrf_token_and_a_tame_htmx(render):
    page = Page(render(page_of("base_staff.html"), provider_name="N"))
    assert re.fullmatch(r'\{"X-CSRFToken": "[\w.-]+"\}', page.all("body")[0]["hx-headers"])
    (settings,) = [meta["content"] for meta in page.all("meta") if meta.get("name") == "htmx-config"]
    assert settings == '{"allowEval": false, "includeIndicatorStyles": false, "selfRequestsOnly": true}'


@pytest.mark.parametrize("layout", ["base_subscriber.html", "base_staff.html"])
def test_menu_marks_the_current_page(render, layout):
    def current(html):
        return {link["href"] for link in Page(html).all("a") if "aria-current" in link}

    assert current(render(page_of(layout), "/two", provider_name="N", **MENU)) == {"/two"}
    below = page_of(layout, '{% set nav_current = "one" %}')
    assert current(render(below, "/two", provider_name="N", **MENU)) == {"/one"}


@pytest.mark.parametrize("layout", ["base_subscriber.html", "base_staff.html"])
def test_logging_out_is_a_post_with_a_token(render, layout):
    page = Page(render(page_of(layout), provider_name="N", **MENU))
    forms = page.all("form")
    assert forms
    assert all(form["method"] == "post" and form["action"] == "/out" for form in forms)
    assert len([field for field in page.all("input") if field["name"] == "csrf_token"]) == len(forms)


@pytest.mark.parametrize("level", list(AccessLevel))
def test_badge_says_the_level_in_words(macro, level):
    words = Page(macro("{{ m.badge(level) }}", level=level)).text
    assert len(words) > 5
    assert words == Page(macro("{{ m.badge(level) }}", level=level.name.lower())).text
    assert Page(macro('{{ m.badge(level, "Walled") }}', level=level)).text == "Walled"


def test_badges_differ_for_every_level(macro):
    assert len({macro("{{ m.badge(level) }}", level=level) for level in AccessLevel}) == 4


def test_unknown_level_is_not_shown_as_some_other(macro):
    with pytest.raises(Exception, match="SOLID"):
        macro('{{ m.badge("solid") }}')


@pytest.mark.parametrize(
    "call",
    [
        "{{ m.page_header(x, x) }}",
        "{% call m.panel(x) %}{{ x }}{% endcall %}",
        "{% call m.note(x) %}{{ x }}{% endcall %}",
        "{{ m.status(x) }}",
        '{{ m.badge("FULL", x) }}',
        "{{ m.stat(x, x, x, x) }}",
        "{{ m.facts([(x, x)]) }}",
        '{{ m.timeline([{"at": x, "title": x, "detail": x, "instant": x}]) }}',
        "{{ m.timeline([], x) }}",
        "{{ m.table([x], [[x]], x) }}",
        "{{ m.table([x], [], x, x) }}",
        "{{ m.confirm_form(x, x, x, x) }}",
        "{{ m.confirm_form(x, x, x) }}",
        "{{ m.money(x) }}",
    ],
)
def test_markup_is_shown_as_typed(macro, call):
    typed = "\"><script>alert('1')</script>"
    page = Page(macro(call, x=typed))
    assert not page.all("script")
    assert typed in page.text


def test_stat_leads_to_its_list(macro):
    assert Page(macro('{{ m.stat("Online", 3, "/sessions") }}')).all("a")[0]["href"] == "/sessions"
    assert not Page(macro('{{ m.stat("Online", 3) }}')).all("a")


def test_table_labels_each_cell_for_phones(macro):
    page = Page(macro('{{ m.table(["Name", ("Total", "number")], [["A", m.money("1 €")]], "Invoices") }}'))
    assert [cell["data-label"] for cell in page.all("td")] == ["Name", "Total"]
    assert [cell["class"] for cell in page.all("td")] == ["tk-text", "tk-number"]
    assert page.all("span") == [{"class": "tk-money"}]
    assert "Invoices" in page.text


def test_timeline_takes_items_without_the_optional_parts(macro):
    page = Page(macro('{{ m.timeline([{"at": "Today", "title": "Paid"}]) }}'))
    assert page.all("time") == [{}]
    assert page.all("li") == [{"class": "tk-neutral"}]


FIELDS = "{% for field in form %}{{ m.form_field(field) }}{% endfor %}"


def submitted(app, macro, data):
    with app.test_request_context("/", method="POST", data=data):
        form = PaymentForm(meta={"csrf": False})
        form.validate()
    return Page(macro(FIELDS, form=form))


def test_field_in_error_says_so_to_everybody(app, macro):
    page = submitted(app, macro, {"method": "cash"})
    amount = page.by_id("amount")
    assert amount["aria-invalid"] == "true"
    assert amount["aria-describedby"] == "amount-hint amount-error"
    assert "is-invalid" in amount["class"]
    assert page.by_id("amount-error") == {"class": "tk-error", "id": "amount-error"}
    assert "Please type the amount." in page.text
    assert page.all("fieldset") == [{"aria-describedby": "when-error"}]
    assert "Please say when." in page.text


def test_field_without_error_is_quiet(app, macro):
    page = submitted(app, macro, {"amount": SCRIPT, "method": "cash", "when": "now"})
    amount = page.by_id("amount")
    assert amount["value"] == SCRIPT
    assert amount["aria-describedby"] == "amount-hint"
    assert "aria-invalid" not in amount
    assert not [a for _, a in page.elements if "is-invalid" in (a.get("class") or "")]


def test_every_field_has_its_label(app, macro):
    page = submitted(app, macro, {})
    labelled = {label["for"] for label in page.all("label")}
    assert labelled == {"amount", "method", "when-0", "when-1", "note", "receipt"}
    assert "Note (optional)" in page.text
    assert "Amount (optional)" not in page.text


def test_confirm_form_asks_without_javascript(macro):
    page = Page(macro('{{ m.confirm_form("/suspend", "Suspend", "token", "Really?") }}'))
    assert [tag for tag, _ in page.elements[:3]] == ["details", "summary", "form"]
    assert {"type": "hidden", "name": "csrf_token", "value": "token"} in page.all("input")
    plain = Page(macro('{% call m.confirm_form("/x", "Go", "t") %}<input name="reason">{% endcall %}'))
    assert not plain.all("details")
    assert {"name": "reason"} in plain.all("input")
