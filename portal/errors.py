"""What a browser is told when something does not work, in plain words."""

from flask import Flask, render_template
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException, InternalServerError

from base.database import DatabaseUnavailable
from portal.at_hand import roll_back

# status: (title, sentence)
WORDS = {
    400: ("This request cannot be understood", "Something in it is not as it should be. Go back and try again."),
    403: ("This is not for your account", "Your account may not open this page or do this. Ask an owner to do it."),
    404: ("There is no such page", "The address is wrong, or what was here is not yours to see."),
    405: ("This cannot be done this way", "Go back and use the buttons on the page."),
    413: ("This is too big", "What was sent is larger than this page takes."),
    429: (
        "Too many attempts",
        "This went wrong too often in a short time. Wait one minute, then try again; your account is not locked.",
    ),
    500: (
        "Something went wrong on our side",
        "Nothing was changed. Try again in a moment; if it happens again, please tell us what you did.",
    ),
    503: ("We are not quite here", "Our database does not answer. Nothing was changed; try again in a minute."),
}
OLD_PAGE = ("This page was open for too long", "Nothing was changed. Go back, reload the page and try again.")


def add_error_pages(app: Flask) -> None:
    """Answer every error with a page of this portal."""
    app.register_error_handler(HTTPException, _page)


def _page(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    if isinstance(error, InternalServerError):
        roll_back()  # Flask has logged the exception
        if isinstance(error.original_exception, (OperationalError, DatabaseUnavailable)):
            status = 503
    title, sentence = OLD_PAGE if isinstance(error, CSRFError) else WORDS.get(status, WORDS[400])
    return render_template("error.html", title=title, sentence=sentence, status=status), status
