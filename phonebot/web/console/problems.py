"""What is wrong, for the script of a page to show: `{"problems": [...]}`, a sentence each."""

from starlette.responses import JSONResponse, Response


def problems(status: int, *sentences: str) -> Response:
    return JSONResponse({"problems": list(sentences)}, status)
