"""stub"""


def available():
    return None
