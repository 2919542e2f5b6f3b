// What is looked at, as the part of the address behind '#': page, filter, order. Back works, and a reload shows the same.
//
// What may be text of the evidence (a path, a word, a serial number, a camera) or points at a picture stands in no address, since a browser
// keeps its history. The server keeps such words and gives a handle, and the handle stands in the address: see state/words.ts.

export interface Place {
  south: number;
  west: number;
  north: number;
  east: number;
}

/** What a list has in common with one picture; `alike` are the links of the second look. */
export type Relation = "folder" | "camera" | "stack" | "content" | "alike";

export interface Filter {
  kind?: string[];
  media_type?: string[];
  state?: string[];
  exhibit?: string[];
  known?: string[];
  set?: string[];
  method?: string[];
  category?: string[];
  mine?: boolean;
  status?: string[];
  flag?: string[];
  tag?: string[];
  path?: string;
  text?: string;
  min_size?: number;
  max_size?: number;
  since?: string;
  until?: string;
  camera?: string[];
  serial?: string[];
  place?: Place;
  problem?: string[];
  new_members?: boolean;
  queue?: "disputes" | "proposals" | "all";
  similar_to?: { view: string; index: number; distance: number };
  same?: { view: string; index: number; what: Relation };
}

export type Page = "review" | "disputes" | "proposals" | "problems" | "day" | "exports" | "settings";
export type Shape = "grid" | "time" | "map";

export interface Query {
  page: Page;
  shape: Shape;
  filter: Filter;
  order: string | null;
  stacked: boolean;
  /** The item whose detail is open, or null. */
  item: number | null;
  /** What the server calls the private part of the filter; null while it has no name for it. */
  kept: string | null;
}

/** What stands in no address but is kept by the server. */
export type Private = Pick<Filter, "path" | "text" | "serial" | "tag" | "camera" | "similar_to" | "same">;

const PAGES: readonly Page[] = ["review", "disputes", "proposals", "problems", "day", "exports", "settings"];
const SHAPES: readonly Shape[] = ["grid", "time", "map"];
const LISTS = [
  "kind",
  "media_type",
  "state",
  "exhibit",
  "known",
  "set",
  "method",
  "category",
  "status",
  "flag",
  "problem",
] as const;
const NUMBERS = ["min_size", "max_size"] as const;
const DAYS = ["since", "until"] as const;
const YES = ["mine", "new_members"] as const;
/** Words of the filter that are lists, and may be text of the evidence. */
const WORDS = ["serial", "tag", "camera"] as const;
/** A handle, as the server makes them. */
const HANDLE = /^k\.[A-Za-z0-9_-]{8,64}$/;

export const START: Query = {
  page: "review",
  shape: "grid",
  filter: {},
  order: null,
  stacked: true,
  item: null,
  kept: null,
};

/** The address of a query, beginning with '#'. */
export function encode(query: Query): string {
  const { filter } = query;
  const p = new URLSearchParams();
  for (const name of LISTS) for (const value of filter[name] ?? []) p.append(name, value);
  for (const name of NUMBERS) if (filter[name] !== undefined) p.set(name, String(filter[name]));
  for (const name of DAYS) if (filter[name]) p.set(name, filter[name]);
  for (const name of YES) if (filter[name] !== undefined) p.set(name, filter[name] ? "yes" : "no");
  const at = filter.place;
  if (at) p.set("place", [at.south, at.west, at.north, at.east].join(","));
  if (filter.queue) p.set("queue", filter.queue);
  if (query.kept) p.set("kept", query.kept);
  if (query.order) p.set("order", query.order);
  if (!query.stacked) p.set("stacked", "no");
  if (query.shape !== "grid") p.set("as", query.shape);
  if (query.item !== null) p.set("item", String(query.item + 1));
  const text = p.toString();
  return `#/${query.page}${text ? `?${text}` : ""}`;
}

/** The query of an address. What is not understood is left out, so that an old address still leads somewhere. */
export function decode(hash: string, kept: Private = {}): Query {
  const [path = "", text = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const p = new URLSearchParams(text);
  const filter: Filter = {};
  for (const name of LISTS) if (p.has(name)) filter[name] = [...new Set(p.getAll(name).filter(Boolean))];
  for (const name of NUMBERS) {
    const value = wholeNumber(p.get(name));
    if (value !== null) filter[name] = value;
  }
  for (const name of DAYS) {
    const day = p.get(name);
    if (day && isDay(day)) filter[name] = day;
  }
  for (const name of YES) if (p.has(name)) filter[name] = p.get(name) === "yes";
  const place = decodePlace(p.get("place"));
  if (place) filter.place = place;
  const queue = p.get("queue");
  if (queue === "disputes" || queue === "proposals" || queue === "all") filter.queue = queue;
  Object.assign(filter, privatePart(kept));
  const handle = p.get("kept") ?? "";
  const shape = p.get("as") as Shape;
  const item = wholeNumber(p.get("item"));
  return {
    page: PAGES.includes(path as Page) ? (path as Page) : "review",
    shape: SHAPES.includes(shape) ? shape : "grid",
    filter,
    order: p.get("order"),
    stacked: p.get("stacked") !== "no",
    item: item !== null && item >= 1 ? item - 1 : null,
    kept: HANDLE.test(handle) ? handle : null,
  };
}

/** What of a filter the server keeps. */
export function privatePart(filter: Filter): Private {
  const kept: Private = {};
  if (filter.path) kept.path = filter.path;
  if (filter.text) kept.text = filter.text;
  for (const name of WORDS) if (filter[name]?.length) kept[name] = filter[name];
  if (filter.similar_to) kept.similar_to = filter.similar_to;
  if (filter.same) kept.same = filter.same;
  return kept;
}

/** Whether a filter has a part that the server keeps. */
export function hasPrivate(filter: Filter): boolean {
  return Object.keys(privatePart(filter)).length > 0;
}

/** The filter that is asked of the server: the page's queue goes with it. */
export function effective(query: Query, hideKnown: boolean): Filter {
  const filter = { ...query.filter };
  // by the handle the server finds the picture also when the list in which it was chosen is forgotten
  if (query.kept && filter.similar_to) filter.similar_to = { ...filter.similar_to, view: query.kept, index: 0 };
  if (query.kept && filter.same) filter.same = { ...filter.same, view: query.kept, index: 1 };
  if (query.page === "disputes" || query.page === "proposals") filter.queue = query.page;
  else if (hideKnown && !filter.known && !filter.same && !filter.similar_to && !filter.queue && !filter.set)
    filter.known = ["other", "new"];
  return filter;
}

/** Whether two queries show the same list. */
export function sameList(a: Query, b: Query): boolean {
  const plain = (q: Query) =>
    encode({ ...q, shape: "grid", item: null, kept: null }) + JSON.stringify(privatePart(q.filter));
  return plain(a) === plain(b);
}

/** How many conditions a filter has. */
export function conditions(filter: Filter): number {
  return Object.values(filter).filter((v) => v !== undefined && !(Array.isArray(v) && v.length === 0)).length;
}

export type ListName = (typeof LISTS)[number] | (typeof WORDS)[number];

/** The filter with a value of a list put in or taken out. */
export function toggled(filter: Filter, name: ListName, value: string): Filter {
  const had: readonly string[] = filter[name] ?? [];
  const has = had.includes(value) ? had.filter((v) => v !== value) : [...had, value];
  const { [name]: _, ...rest } = filter;
  return has.length > 0 ? { ...rest, [name]: has } : rest;
}

function decodePlace(text: string | null): Place | null {
  const parts = (text ?? "").split(",").map(Number);
  if (parts.length !== 4 || !text || parts.some((v) => !Number.isFinite(v))) return null;
  const [south, west, north, east] = parts as [number, number, number, number];
  const fits = south <= north && south >= -90 && north <= 90 && west >= -180 && east <= 180;
  return fits ? { south, west, north, east } : null;
}

function wholeNumber(text: string | null): number | null {
  return text !== null && /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}
