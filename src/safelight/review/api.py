"""The bodies of the API. The OpenAPI description (`openapi.json`, and from it the types of the page) is generated from these.

Requests refuse members that they do not know. A content is named by its index in a view only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from safelight.review.filters import Filter, Same, Similar
from safelight.review.views import Section

Role = Literal["reviewer", "supervisor"]
Index = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Level = Literal["protected", "drawing", "small"]


class Request(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A body that comes in."""


class Reply(msgspec.Struct, kw_only=True):
    """A body that goes out."""


# session and case


class TokenRequest(Request):
    token: str


class SessionReply(Reply):
    user: str
    role: Role
    csrf: str


class Done(Reply):
    done: bool = True


class ExhibitReply(Reply):
    label: str
    sources: int


class CategoryReply(Reply):
    code: str
    label: str
    rank: int
    kind: str
    key: str | None
    colour: str


class SchemeReply(Reply):
    name: str
    title: str
    categories: list[CategoryReply]


class Named(Reply):
    code: str
    label: str


class OrderReply(Reply):
    name: str
    title: str
    rule: str


class SetReply(Reply):
    name: str
    version: str
    as_: str = msgspec.field(name="as")


class Totals(Reply):
    items: int
    contents: int
    pictures: int
    films: int
    undecided: int
    decided: int
    disputed: int
    problems: int


class CaseReply(Reply):
    id: str
    title: str
    position: int
    exhibits: list[ExhibitReply]
    scheme: SchemeReply
    votes: int
    flags: list[Named]
    orders: list[OrderReply]
    sets: list[SetReply]
    totals: Totals


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A reviewer's own defaults."""

    tile: Literal[128, 160, 192, 256] = 160
    theme: Literal["auto", "light", "dark"] = "auto"
    start_level: Literal["none", "protected"] = "protected"
    reveal_seconds: int = 10
    advance: bool = True
    hide_known: bool = True
    order: Literal["first", "path", "time", "size", "camera"] = "first"
    break_minutes: int = 45
    blank_after_seconds: int = 120


class StepReply(Reply):
    step: str
    exhibit: str
    done: int
    total: int | None
    unit: str
    rate: float | None
    seconds_left: int | None


class ProgressReply(Reply):
    running: bool
    position: int
    steps: list[StepReply]
    problems: int
    new: dict[str, int]


# views


class ViewRequest(Request):
    filter: Filter = msgspec.field(default_factory=Filter)
    order: str = "first"
    stacked: bool = True


class ViewReply(Reply):
    view: str
    count: int
    contents: int
    position: int
    sections: list[Section]
    filter_text: str


class Words(Request, omit_defaults=True):
    """What of a filter may be text of the evidence, or points at a picture: it never stands in an address."""

    path: str = ""
    text: str = ""
    serial: list[str] = msgspec.field(default_factory=list)
    tag: list[str] = msgspec.field(default_factory=list)
    camera: list[str] = msgspec.field(default_factory=list)
    similar_to: Similar | None = None
    same: Same | None = None


class KeptReply(Reply):
    """Words that are kept. The labels say which picture a relation means; `lost` says what of the filter is left out, and why."""

    handle: str
    words: Words
    similar_label: str | None
    same_label: str | None
    lost: str


class RowsReply(Reply):
    from_: int = msgspec.field(name="from")
    n: int
    kind: list[str]
    stack_size: list[int]
    width: list[int]
    height: list[int]
    state: list[str]
    known: list[str | None]
    category: list[str | None]
    proposed: list[str | None]
    mine: list[str | None]
    status: list[str]
    flags: list[list[str]]
    exhibit: list[str]
    place: list[str]
    places: list[int]
    reason: list[str]
    new_member: list[bool]
    level: list[str]
    missing: list[str | None]
    label: list[str]


# one item


class Digests(Reply):
    md5: str | None
    sha1: str | None
    sha256: str
    pdq: str | None
    pdq_quality: int | None


class PlaceReply(Reply):
    exhibit: str
    path: str
    state: str
    origin: str
    mtime: str | None
    atime: str | None
    ctime: str | None
    btime: str | None
    time_basis: str | None
    problem: str | None
    reason: str | None


class MatchReply(Reply):
    set: str
    version: str
    as_: str = msgspec.field(name="as")
    method: str
    distance: int
    transform: str | None
    form: str | None
    entry: int
    category: str | None
    deconfirmed: str | None
    flood: int | None


class MemberReply(Reply):
    index: int | None
    label: str
    distance: int
    rank: int | None
    looks: str
    own: bool


class StackReply(Reply):
    size: int
    distance: int
    why: str
    rank: int | None
    of: int
    rank_why: str
    members: list[MemberReply]


class AlikeReply(Reply):
    """A link of the second look. Rectangles are left, top, width and height in shares of the picture as shown; null: not known."""

    index: int | None
    label: str
    known: str | None
    relation: str
    mirrored: bool
    method: str
    inliers: int | None
    distance: int | None
    evidence: str
    area: float
    area_other: float
    box: list[float] | None
    box_other: list[float] | None
    through: str | None


class ProblemOfItem(Reply):
    kind: str
    reason: str


class OrderOfItem(Reply):
    name: str
    reason: str


class DecisionReply(Reply):
    event: int
    at: str
    user: str
    what: str
    category: str | None
    note: str | None
    tags: list[str]
    flags: list[str]
    undone: bool


class StandingOfItem(Reply):
    category: str | None
    proposed: str | None
    mine: str | None
    status: str
    votes_needed: int
    votes_given: int


class SeenReply(Reply):
    level: str
    seconds: float


class ItemReply(Reply):
    label: str
    kind: str
    media_type: str | None
    size: int
    width: int | None
    height: int | None
    frames: int | None
    digests: Digests
    exif: dict[str, str]
    places: list[PlaceReply]
    places_total: int
    matches: list[MatchReply]
    stack: StackReply
    alike: list[AlikeReply]
    problems: list[ProblemOfItem]
    order: OrderOfItem
    decisions: list[DecisionReply]
    standing: StandingOfItem
    seen: SeenReply


# reveals


class RevealRequest(Request):
    view: str
    index: int
    level: Literal["drawing", "small"]
    reason: str = ""


class RevealReply(Reply):
    reveal: int


class RevealEnd(Request):
    milliseconds: int


# decisions


class Target(Request):
    """One of `index`, `indexes`, `ranges`, `all`, `folder_of`."""

    index: Index | None = None
    indexes: list[Index] | None = None
    ranges: list[tuple[Index, Index]] | None = None
    all: bool = False
    folder_of: Index | None = None
    whole_stack: bool = True


class Wish(Request):
    """What a decision says; an absent member says nothing, `category` null takes the vote back.

    `accept_proposal`: each content gets the category that a matched set proposes for it.
    """

    category: str | UnsetType | None = UNSET
    accept_proposal: bool = False
    note: str = ""
    add_tags: list[str] = msgspec.field(default_factory=list)
    remove_tags: list[str] = msgspec.field(default_factory=list)
    add_flags: list[str] = msgspec.field(default_factory=list)
    remove_flags: list[str] = msgspec.field(default_factory=list)


class PreviewRequest(Request):
    view: str
    target: Target


class PreviewReply(Reply):
    contents: int
    tiles: int
    decided: dict[str, int]
    disputed: int
    confirm: str


class DecisionRequest(Request):
    key: str
    view: str
    target: Target
    set: Wish
    confirm: str | None = None


class TileReply(Reply):
    index: int
    category: str | None
    mine: str | None
    status: str


class DecidedReply(Reply):
    event: int
    position: int
    contents: int
    changed: int
    standing: list[TileReply]
    undecided: int


class TurnRequest(Request):
    key: str
    event: int | None = None
    view: str | None = None


class TurnReply(Reply):
    event: int
    undone: int
    contents: int
    text: str
    indexes_of_view: list[int] | None = None
    undecided: int = 0


class MyDecision(Reply):
    event: int
    at: str
    text: str
    contents: int
    undone: bool


# find


class FacetsRequest(Request):
    filter: Filter = msgspec.field(default_factory=Filter)
    facets: list[str] = msgspec.field(default_factory=list)
    stacked: bool = True


class FacetValue(Reply):
    value: str
    label: str
    count: int


class TimelineRequest(Request):
    filter: Filter = msgspec.field(default_factory=Filter)
    bins: int = 100


class Bin(Reply):
    at: str
    count: int


class TimelineReply(Reply):
    from_: str | None = msgspec.field(name="from")
    to: str | None
    unit: str
    bins: list[Bin]
    without_time: int


class PlacesRequest(Request):
    filter: Filter = msgspec.field(default_factory=Filter)
    cells: int = 36


class Cell(Reply):
    south: float
    west: float
    north: float
    east: float
    count: int


class PlacesReply(Reply):
    cells: list[Cell]
    without_place: int


class ProblemRow(Reply):
    exhibit: str
    place: str
    step: str
    kind: str
    reason: str
    complete: bool


class ProblemsReply(Reply):
    total: int
    kinds: dict[str, int]
    rows: list[ProblemRow]


# exposure and exports


class Per1000(Reply):
    reveals: float | None
    seconds: float | None


class ExposureReply(Reply):
    reveals: int
    seconds: float
    by_level: dict[str, int]
    decided: int
    per_1000: Per1000
    minutes_since_break: int
    hint: str


class DaySums(Reply):
    day: str
    reveals: int
    seconds: float
    decided: int
    by_level: dict[str, int]


class ExportRequest(Request):
    format: Literal["vics", "csv", "case"]
    filter: Filter | None = None


class ExportReply(Reply):
    file: str
    rows: int
    sha256: str


Json = dict[str, Any]
