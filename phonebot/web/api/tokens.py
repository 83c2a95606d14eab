"""Bearer tokens: which there are, new ones, and the one that asks."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from phonebot.store.tokens import MAX_NAME_CHARACTERS, SCOPES, Scope
from phonebot.store.tokens import Token as StoredToken
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.problems import Refused
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.values import MAX_SEQUENCE, TITLE_PATTERN, Asked, Limit, Moment, Page, Sent, page_by_name

router = APIRouter(route_class=ApiRoute, tags=["tokens"])


class Token(BaseModel):
    """A token, without its secret."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["nightly export"])
    scopes: list[Scope] = Field(description="What it may: none includes another.", examples=[["read"]])
    created_by: str
    created_at: Moment
    last_used_at: Moment | None = Field(description="To the minute; null: never.")
    expires_at: Moment | None = Field(description="null: it does not expire.")


class NewToken(Sent):
    """A token to be made."""

    name: str = Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        pattern=TITLE_PATTERN,
        description="What it is for; no other token has this name.",
        examples=["nightly export"],
    )
    scopes: list[Scope] = Field(min_length=1, max_length=len(SCOPES), examples=[["read"]])
    expires_at: Asked | None = Field(
        default=None, description="From when on it opens nothing; null: it does not expire."
    )


class CreatedToken(BaseModel):
    """A new token, and its secret, which is shown nowhere else and never again."""

    token: Token
    secret: str = Field(description="Goes into the header `Authorization: Bearer SECRET`.")


@router.get("/me", operation_id="getMe", **terms(None))
async def get_me(asker: Asker) -> Token:
    """The token that asks: what it may, and until when."""
    return _token(asker.token)


@router.get("/tokens", operation_id="listTokens", **terms("admin"))
async def list_tokens(
    parts: UsedParts,
    cursor: Annotated[
        str | None,
        Query(
            max_length=MAX_NAME_CHARACTERS,
            pattern=TITLE_PATTERN,
            description="`next` of the page before.",
            examples=["nightly export"],
        ),
    ] = None,
    limit: Limit = 50,
) -> Page[Token]:
    """The tokens, by name, those that have expired too."""
    return page_by_name(await parts.store.tokens.all(), "name", cursor, limit, _token)


@router.post("/tokens", operation_id="createToken", status_code=201, **terms("admin", 409, body=JSON_BODY))
async def create_token(sent: NewToken, parts: UsedParts, asker: Asker) -> CreatedToken:
    """Make a token. Its secret is in the answer, and only its hash is kept."""
    if sent.expires_at is not None and sent.expires_at <= datetime.now(UTC):
        raise Refused(422, "invalid_request", "expires_at is over already: choose a later moment")
    token, secret = await parts.store.tokens.create(sent.name, sent.scopes, asker.actor, sent.expires_at)
    return CreatedToken(token=_token(token), secret=secret)


@router.delete("/tokens/{token_id}", operation_id="revokeToken", status_code=204, **terms("admin", 404))
async def revoke_token(
    token_id: Annotated[int, Path(ge=1, le=MAX_SEQUENCE, description="The token's `id`.", examples=[1])],
    parts: UsedParts,
    asker: Asker,
) -> Response:
    """From now on it opens nothing. A token may revoke itself."""
    await parts.store.tokens.revoke(token_id, asker.actor)
    return Response(status_code=204)


def _token(token: StoredToken) -> Token:
    return Token(
        id=token.id,
        name=token.name,
        scopes=sorted(token.scopes, key=SCOPES.index),
        created_by=token.created_by,
        created_at=token.created_at,
        last_used_at=token.last_used_at,
        expires_at=token.expires_at,
    )
