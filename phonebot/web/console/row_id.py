"""`{id:row}` in a path of the console: the number of a row, no larger than a database can hold."""

from starlette.convertors import Convertor, register_url_convertor

MAX_DIGITS = 18  # the largest that a BIGINT holds has 19


class RowId(Convertor[int]):
    regex = f"[0-9]{{1,{MAX_DIGITS}}}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


def register() -> None:
    """Before a route names it. May be called again."""
    register_url_convertor("row", RowId())
