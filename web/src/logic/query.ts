// What is looked at, as the part of the address behind '#': page, filter, order. Back works, and a reload shows the same.
//
// Typed text (a path, a word, a serial number) may be a name out of the evidence, and a history must not hold one: it stands in the state of
// the history entry, which only this tab has, and never in the address.

export interface Place {
  south: number;
  west: number;
  north: number;
  east: number;
}

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
  same?: { view: string; index: number; what: "folder" | "camera" | "stack" | "content" };
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
}

/** What stands in the state of the history entry and not in the address. */
export type Private = Pick<Filter, "path" | "text" | "serial" | "tag">;

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
  "camera",
  "problem",
] as const;
const NUMBERS = ["min_size", "max_size"] as const;
const DAYS = ["since", "until"] as const;
const YES = ["mine", "new_members"] as const;
export const PRIVATE = ["path", "text", "serial", "tag"] as const;

export const START: Query = { page: "review", shape: "grid", filter: {}, order: null, stacked: true, item: null };

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
  if (filter.similar_to)
    p.set("similar", `${filter.similar_to.view},${filter.similar_to.index},${filter.similar_to.distance}`);
  if (filter.same) p.set("same", `${filter.same.view},${filter.same.index},${filter.same.what}`);
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
  decodeRelations(p, filter);
  if (kept.path) filter.path = kept.path;
  if (kept.text) filter.text = kept.text;
  if (kept.serial?.length) filter.serial = kept.serial;
  if (kept.tag?.length) filter.tag = kept.tag;
  const shape = p.get("as") as Shape;
  const item = wholeNumber(p.get("item"));
  return {
    page: PAGES.includes(path as Page) ? (path as Page) : "review",
    shape: SHAPES.includes(shape) ? shape : "grid",
    filter,
    order: p.get("order"),
    stacked: p.get("stacked") !== "no",
    item: item !== null && item >= 1 ? item - 1 : null,
  };
}

/** What of a filter belongs into the state of the history entry. */
export function privatePart(filter: Filter): Private {
  const kept: Private = {};
  if (filter.path) kept.path = filter.path;
  if (filter.text) kept.text = filter.text;
  if (filter.serial?.length) kept.serial = filter.serial;
  if (filter.tag?.length) kept.tag = filter.tag;
  return kept;
}

/** The filter that is asked of the server: the page's queue goes with it. */
export function effective(query: Query, hideKnown: boolean): Filter {
  const filter = { ...query.filter };
  if (query.page === "disputes" || query.page === "proposals") filter.queue = query.page;
  else if (hideKnown && !filter.known && !filter.same && !filter.similar_to && !filter.queue && !filter.set)
    filter.known = ["other", "new"];
  return filter;
}

/** Whether two queries show the same list. */
export function sameList(a: Query, b: Query): boolean {
  const plain = (q: Query) => encode({ ...q, shape: "grid", item: null }) + JSON.stringify(privatePart(q.filter));
  return plain(a) === plain(b);
}

/** How many conditions a filter has. */
export function conditions(filter: Filter): number {
  return Object.values(filter).filter((v) => v !== undefined && !(Array.isArray(v) && v.length === 0)).length;
}

export type ListName = (typeof LISTS)[number] | "serial" | "tag";

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

function decodeRelations(p: URLSearchParams, filter: Filter): void {
  const similar = p.get("similar")?.split(",");
  const at = wholeNumber(similar?.[1] ?? null);
  const distance = wholeNumber(similar?.[2] ?? null);
  if (similar?.[0] && at !== null && distance !== null) filter.similar_to = { view: similar[0], index: at, distance };
  const same = p.get("same")?.split(",");
  const index = wholeNumber(same?.[1] ?? null);
  const what = same?.[2];
  if (
    same?.[0] &&
    index !== null &&
    (what === "folder" || what === "camera" || what === "stack" || what === "content")
  ) {
    filter.same = { view: same[0], index, what };
  }
}

function wholeNumber(text: string | null): number | null {
  return text !== null && /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}
