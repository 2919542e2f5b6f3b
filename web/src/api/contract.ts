// The types of the server's answers under the names that the page uses; they come from schema.d.ts, which is generated.
import type { Filter } from "../logic/query";
import type { Standing } from "../logic/queue";

export interface SessionAnswer {
  user: string;
  role: "reviewer" | "supervisor";
  csrf: string;
}

export interface Category {
  code: string;
  label: string;
  rank: number | null;
  kind: string;
  key: string | null;
  colour: string;
}

export interface CaseAnswer {
  id: string;
  title: string;
  position: number;
  exhibits: { label: string; sources: number | string[] }[];
  scheme: { name: string; title: string; categories: Category[] };
  votes: number;
  flags: { code: string; label: string }[];
  orders: { name: string; title: string; rule: string }[];
  sets: { name: string; version: string; as: string }[];
  totals: {
    items: number;
    contents: number;
    pictures: number;
    films: number;
    undecided: number;
    decided: number;
    disputed: number;
    problems: number;
  };
}

export interface Settings {
  tile: 128 | 160 | 192 | 256;
  theme: "auto" | "light" | "dark";
  start_level: "none" | "protected";
  reveal_seconds: number;
  advance: boolean;
  hide_known: boolean;
  order: string | null;
  break_minutes: number;
  blank_after_seconds: number;
}

export interface Progress {
  running: boolean;
  position: number;
  steps: {
    step: string;
    exhibit: string;
    done: number;
    total: number | null;
    unit: string;
    rate: number | null;
    seconds_left: number | null;
  }[];
  problems: number;
  new: Record<string, number>;
}

export interface ViewAnswer {
  view: string;
  count: number;
  contents: number;
  position: number;
  sections: { label: string; first: number; count: number }[];
  filter_text: string;
}

/** Columns of rows [from, from + n). */
export interface Rows {
  from: number;
  n: number;
  kind: string[];
  stack_size: number[];
  width: (number | null)[];
  height: (number | null)[];
  state: string[];
  known: (string | null)[];
  category: (string | null)[];
  mine: (string | null)[];
  status: string[];
  flags: string[][];
  exhibit: string[];
  place: string[];
  places: number[];
  reason: string[];
  new_member: boolean[];
  level: ("none" | "protected" | "drawing" | "small")[];
  missing: (string | null)[];
  label: string[];
}

export interface PlaceOfItem {
  exhibit: string;
  path: string;
  state: string;
  origin: string;
  mtime: string | null;
  atime: string | null;
  ctime: string | null;
  btime: string | null;
  time_basis: string | null;
  problem: string | null;
  reason: string | null;
}

export interface ItemAnswer {
  label: string;
  kind: string;
  media_type: string;
  size: number;
  width: number | null;
  height: number | null;
  frames: number | null;
  digests: { md5: string; sha1: string; sha256: string; pdq: string | null; pdq_quality: number | null };
  exif: Record<string, unknown>;
  places: PlaceOfItem[];
  places_total: number;
  matches: {
    set: string;
    version: string;
    as: string;
    method: string;
    distance: number;
    transform: string;
    form: string;
    entry: string | number;
    category: string | null;
  }[];
  stack: {
    size: number;
    distance: number | null;
    why: string;
    members: { index: number | null; label: string; distance: number | null }[];
  };
  problems: { kind: string; reason: string }[];
  order: { name: string; reason: string };
  decisions: {
    event: number;
    at: string;
    user: string;
    what: string;
    category: string | null;
    note: string | null;
    tags: string[];
    flags: string[];
    undone: boolean;
  }[];
  standing: { category: string | null; status: string; votes_needed: number; votes_given: number };
  seen: { level: string; seconds: number };
}

export interface DecisionAnswer {
  event: number;
  position: number;
  contents: number;
  changed: number;
  standing: Standing[];
  undecided: number;
}

export interface UndoAnswer {
  event: number | null;
  undone: number | boolean | null;
  contents: number;
  indexes_of_view?: number[] | null;
}

export interface Preview {
  contents: number;
  tiles: number;
  decided: Record<string, number>;
  disputed: number;
  confirm: string;
}

export interface Mine {
  event: number;
  at?: string;
  text: string;
  undone: boolean;
}

export type Facets = Record<string, { value: string; label: string; count: number }[]>;

export interface TimelineAnswer {
  from: string | null;
  to: string | null;
  unit: string;
  bins: { at: string; count: number }[];
  without_time: number;
}

export interface PlacesAnswer {
  cells: { south: number; west: number; north: number; east: number; count: number }[];
  without_place: number;
}

export interface ProblemsAnswer {
  total: number;
  kinds: Record<string, number>;
  rows: { exhibit: string; place: string; step: string; kind: string; reason: string; complete: boolean | null }[];
}

export interface ExposureAnswer {
  reveals: number;
  seconds: number;
  by_level: Record<string, number>;
  decided: number;
  per_1000: { reveals: number | null; seconds: number | null };
  minutes_since_break: number;
  hint: string | null;
}

export interface ExportAnswer {
  file: string;
  rows: number;
  sha256: string;
}

export type { Filter };

export interface ExposureSums {
  day: string;
  reveals: number;
  seconds: number;
  decided: number;
}
