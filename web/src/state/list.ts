// One list of the server in this tab: its rows and packs as they are loaded, with what was painted and is not saved yet on top.
import type { Client } from "../api/client";
import type { CaseAnswer, Rows, ViewAnswer } from "../api/contract";
import type { Face, Mark } from "../grid/face";
import type { GridSource } from "../grid/grid";
import type { Before } from "../logic/history";
import { ChunkLoader, PACK, unpack } from "../logic/packs";
import { sectionAt } from "../logic/sections";
import type { Selection } from "../logic/selection";
import { count, inkOn } from "../logic/words";

/** Rows in one request, chunks of rows and packs that are kept (compressed; ≈ 1 kB a picture). */
const ROWS = 512;
const KEPT_ROWS = 24;
const KEPT_PACKS = 40;

/** One row of the server. */
export interface Row extends Before {
  kind: string;
  stack: number;
  width: number | null;
  height: number | null;
  state: string;
  known: string | null;
  flags: string[];
  exhibit: string;
  place: string;
  places: number;
  reason: string;
  /** What a hash set proposes, as a code of the case's scheme. */
  proposed: string | null;
  fresh: boolean;
  level: string;
  missing: string | null;
  label: string;
}

type Pack = (Uint8Array<ArrayBuffer> | null)[];

export class List implements GridSource {
  readonly rows: ChunkLoader<Rows>;
  readonly packs: ChunkLoader<Pack>;
  readonly #painted = new Map<number, Before>();
  readonly #marks = new Map<string, { colour: string; ink: string; label: string }>();
  readonly #flags: Map<string, string>;

  constructor(
    client: Client,
    readonly view: ViewAnswer,
    about: CaseAnswer,
    private readonly selection: Selection,
    events: { arrived(from: number, end: number): void; failed(error: unknown): void },
  ) {
    for (const c of about.scheme.categories)
      this.#marks.set(c.code, { colour: c.colour, ink: inkOn(c.colour), label: c.label });
    this.#flags = new Map(about.flags.map((f) => [f.code, f.label]));
    const id = view.view;
    this.rows = new ChunkLoader(view.count, ROWS, (from, n, signal) => client.rows(id, from, n, signal), KEPT_ROWS);
    this.packs = new ChunkLoader(
      view.count,
      PACK,
      async (from, n, signal) => unpack(await client.thumbs(id, from, n, signal)),
      KEPT_PACKS,
    );
    for (const loader of [this.rows, this.packs]) {
      loader.onChunk = (chunk: number) => events.arrived(chunk * loader.size, (chunk + 1) * loader.size);
      loader.onError = events.failed;
    }
  }

  get count(): number {
    return this.view.count;
  }

  want(from: number, end: number): void {
    this.rows.want(from, end, 2 * ROWS);
    this.packs.want(from, end, 4 * PACK);
  }

  stop(): void {
    this.rows.stop();
    this.packs.stop();
  }

  picture(index: number): Uint8Array<ArrayBuffer> | null | undefined {
    const pack = this.packs.at(index);
    return pack && (pack[index % PACK] ?? null);
  }

  isSelected(index: number): boolean {
    return this.selection.has(index);
  }

  row(index: number): Row | null {
    const chunk = this.rows.at(index);
    if (!chunk) return null;
    const i = index - chunk.from;
    const painted = this.#painted.get(index);
    return {
      index,
      category: painted ? painted.category : (chunk.category[i] ?? null),
      mine: painted ? painted.mine : (chunk.mine[i] ?? null),
      status: painted ? painted.status : (chunk.status[i] ?? "undecided"),
      kind: chunk.kind[i] ?? "",
      stack: chunk.stack_size[i] ?? 1,
      width: chunk.width[i] ?? null,
      height: chunk.height[i] ?? null,
      state: chunk.state[i] ?? "",
      known: chunk.known[i] ?? null,
      flags: chunk.flags[i] ?? [],
      exhibit: chunk.exhibit[i] ?? "",
      place: chunk.place[i] ?? "",
      places: chunk.places[i] ?? 1,
      reason: chunk.reason[i] ?? "",
      proposed: chunk.proposed[i] ?? null,
      fresh: chunk.new_member[i] ?? false,
      level: chunk.level[i] ?? "none",
      missing: chunk.missing[i] ?? null,
      label: chunk.label[i] ?? "",
    };
  }

  /** The standing of a tile as it is shown, or null when it is not loaded. */
  standing(index: number): Before | null {
    const row = this.row(index);
    return row && { index, category: row.category, mine: row.mine, status: row.status };
  }

  /** Paint what is not saved yet. */
  paint(standings: readonly Before[]): void {
    for (const s of standings) this.#painted.set(s.index, s);
  }

  /** Take what the server says: it replaces what was painted. */
  settle(standings: readonly Before[]): void {
    for (const s of standings) {
      this.#painted.delete(s.index);
      const chunk = this.rows.at(s.index);
      if (!chunk) continue;
      const i = s.index - chunk.from;
      chunk.category[i] = s.category;
      chunk.mine[i] = s.mine;
      chunk.status[i] = s.status;
    }
  }

  /** Fetch all rows anew; pictures stay. */
  reload(): void {
    this.#painted.clear();
    this.rows.invalidate();
  }

  face(index: number): Face | null {
    const row = this.row(index);
    if (!row) return null;
    return {
      caption: this.#caption(row),
      chip: this.#chip(row),
      mark: this.#mark(row),
      status: row.status,
      known: row.known ?? "",
      missing: row.missing ? `No picture: ${row.missing}` : "",
      label: this.#label(row),
    };
  }

  /** The reason, without what the heading of its part of the list says already. */
  #caption(row: Row): string {
    const heading = sectionAt(this.view.sections, row.index)?.label ?? "";
    const rest = row.reason.split("; ").filter((part) => !heading.includes(part));
    return rest.join("; ") || row.reason || row.place;
  }

  #chip(row: Row): string {
    const parts = [
      row.known ?? "",
      row.fresh ? "new in a judged stack" : "",
      row.stack > 1 ? `×${count(row.stack)}` : "",
      row.kind === "video" ? "film" : "",
      row.state && row.state !== "live" ? row.state : "",
      row.flags.length > 0 ? "⚑" : "",
    ];
    return parts.filter(Boolean).join(" · ");
  }

  #mark(row: Row): Mark | null {
    const code = row.mine ?? row.category ?? (row.status === "proposed" ? row.proposed : null);
    if (code === null) return row.status === "disputed" ? { text: "≠", colour: "#6b6460", ink: "#ffffff" } : null;
    const mark = this.#marks.get(code);
    const sign = row.status === "proposed" ? "?" : row.status === "disputed" ? " ≠" : "";
    return { text: `${code}${sign}`, colour: mark?.colour ?? "#6b6460", ink: mark?.ink ?? "#ffffff" };
  }

  #label(row: Row): string {
    const code = row.mine ?? row.category;
    const caption = this.#caption(row);
    const parts = [
      row.kind === "video" ? "film" : row.kind,
      row.state,
      `${row.exhibit}: ${row.place}`,
      code === null ? row.status : `${row.status}: ${code} ${this.#marks.get(code)?.label ?? ""}`.trim(),
      row.known ? `known to a set as ${row.known}` : "",
      row.stack > 1 ? `stack of ${count(row.stack)}` : "",
      ...row.flags.map((f) => this.#flags.get(f) ?? f),
      // what is seen on the tile stands at the end word by word, for people who speak to their machine
      ...row.reason.split("; ").filter((part) => !caption.includes(part)),
      row.missing ? `${caption} No picture: ${row.missing}` : caption,
    ];
    return parts.filter(Boolean).join(", ");
  }
}
