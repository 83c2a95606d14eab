"""Who may log in to the console."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StrictBool

from phonebot.store.links import LIFETIMES
from phonebot.store.users import MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS, Role
from phonebot.store.users import User as StoredUser
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.values import USER_PATTERN, Limit, Moment, Page, Sent, UserInPath, page_by_name

router = APIRouter(route_class=ApiRoute, tags=["users"])

RoleOf = Annotated[
    Role,
    Field(
        description="viewer: sees; operator: that, edits and calls; admin: everything.",
        examples=["operator"],
    ),
]
Password = Annotated[
    str,
    Field(
        min_length=MIN_PASSWORD_CHARACTERS,
        max_length=MAX_PASSWORD_CHARACTERS,
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password"},
    ),
]


class User(BaseModel):
    """Who may log in, unless `disabled` or without a password."""

    name: str = Field(examples=["ada"])
    role: RoleOf
    created_at: Moment
    disabled: bool
    has_password: bool


class NewUser(Sent):
    """A user to be added. Without a password he cannot log in until one is set."""

    name: str = Field(
        pattern=USER_PATTERN,
        description="1 to 100 letters, digits and . _ @ + -; it is kept in lower case.",
        examples=["ada"],
    )
    role: RoleOf
    password: Password | None = None


class UserChange(Sent):
    """What is to be changed of a user; what is left out or null stays as it is."""

    role: RoleOf | None = None
    disabled: StrictBool | None = Field(
        default=None, description="true: he may no longer log in, and his sessions end."
    )


class PasswordLink(BaseModel):
    """Whoever has the link chooses the user's password, once."""

    url: str = Field(examples=["https://bot.example.com/setup?token=..."])
    expires_at: Moment


class NewPassword(Sent):
    """A password."""

    password: Password


@router.get("/users", operation_id="listUsers", **terms("admin"))
async def list_users(
    parts: UsedParts,
    cursor: Annotated[
        str | None, Query(pattern=USER_PATTERN, description="`next` of the page before.", examples=["ada"])
    ] = None,
    limit: Limit = 50,
) -> Page[User]:
    """The users, by name."""
    return page_by_name(await parts.store.users.all(), "name", cursor, limit, _user)


@router.post("/users", operation_id="addUser", status_code=201, **terms("admin", 409, body=JSON_BODY))
async def add_user(sent: NewUser, parts: UsedParts, asker: Asker) -> User:
    """Add a user."""
    return _user(await parts.store.users.create(sent.name, sent.password, sent.role, asker.actor))


@router.get("/users/{name}", operation_id="getUser", **terms("admin", 404))
async def get_user(name: UserInPath, parts: UsedParts) -> User:
    """A user."""
    return _user(await parts.store.users.get(name))


@router.patch("/users/{name}", operation_id="changeUser", **terms("admin", 404, 409, body=JSON_BODY))
async def change_user(name: UserInPath, sent: UserChange, parts: UsedParts, asker: Asker) -> User:
    """Give a user another role, disable him, or let him log in again. The last admin stays one."""
    user = await parts.store.users.get(name)
    if sent.role is not None:
        user = await parts.store.users.change_role(name, sent.role, asker.actor)
    if sent.disabled is not None:
        user = await parts.store.users.disable(name, asker.actor, sent.disabled)
    return _user(user)


@router.put(
    "/users/{name}/password",
    operation_id="setPassword",
    status_code=204,
    **terms("admin", 404, 409, body=JSON_BODY),
)
async def set_password(name: UserInPath, sent: NewPassword, parts: UsedParts, asker: Asker) -> Response:
    """Set a user's password; his sessions end."""
    await parts.store.users.change_password(name, sent.password, asker.actor)
    return Response(status_code=204)


@router.post("/users/{name}/password-link", operation_id="makePasswordLink", status_code=201, **terms("admin", 404))
async def make_password_link(name: UserInPath, parts: UsedParts) -> PasswordLink:
    """
    Make a link by which a user chooses his password, once, within three days: send it to him alone.

    It is void once he has another password, or was disabled or let in again.
    """
    expires_at = datetime.now(UTC) + LIFETIMES["password"]
    token = parts.links.make("password", name.lower(), await parts.store.users.state(name))
    return PasswordLink(url=f"{parts.public_url}/setup?token={token}", expires_at=expires_at)


def _user(user: StoredUser) -> User:
    return User(
        name=user.name,
        role=user.role,
        created_at=user.created_at,
        disabled=user.disabled,
        has_password=user.has_password,
    )
