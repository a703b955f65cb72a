"""What is said to a person whose request cannot be met."""


class Refused(ValueError):
    """What was asked cannot be done; the message is a sentence for people, `field` the input it is about."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def need(condition: object, message: str, field: str) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(message, field)
