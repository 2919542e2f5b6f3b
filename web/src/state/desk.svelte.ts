// The desk of a reviewer: the list that is looked at, the focus, the selection, and decisions on their way.
import { ApiError, inWords } from "../api/client";
import type { Preview } from "../api/contract";
import type { Grid } from "../grid/grid";
import { type Before, History } from "../logic/history";
import { moved } from "../logic/keymap";
import { ChunkLoader } from "../logic/packs";
import { effective, encode, type Filter, type Query } from "../logic/query";
import {
  type Answer,
  type Changes,
  DecisionQueue,
  newKey,
  type Order,
  type QueueState,
  type Sender,
  type Target,
} from "../logic/queue";
import { Selection } from "../logic/selection";
import { count, plural } from "../logic/words";
import type { App, Trouble } from "./app.svelte";
import { List, type Row } from "./list";
import { orNothing, saveAll } from "./saving";

/** Most tiles that are painted before the server has answered. */
const PAINTED = 2000;

export interface Asking {
  target: Target;
  set: Changes;
  what: string;
  preview: Preview | null;
  trouble: Trouble | null;
}

export class Desk {
  list = $state.raw<List | null>(null);
  loading = $state(false);
  trouble = $state.raw<Trouble | null>(null);
  focus = $state(0);
  /** The focused row; null while it is not loaded. */
  row = $state.raw<Row | null>(null);
  selected = $state(0);
  queueState = $state<QueueState>("saved");
  unsaved = $state(0);
  queueTrouble = $state.raw<Trouble | null>(null);
  undecided = $state<number | null>(null);
  /** A decision about more than one tile that waits for a yes. */
  asking = $state.raw<Asking | null>(null);
  /** Grows with each change that concerns rows: for what shows facets or counts. */
  version = $state(0);
  grid: Grid | null = null;
  readonly selection = new Selection();
  readonly #history = new History();
  readonly queue: DecisionQueue;
  #opening: AbortController | null = null;
  #missing = false;

  constructor(readonly app: App) {
    this.queue = new DecisionQueue(
      this.#sender(),
      {
        saved: (order, answer) => this.#saved(order, answer),
        paint: (order) => this.#paintOrder(order, true),
        repaint: (order) => this.#paintOrder(order, false),
        changed: (state, waiting, error) => {
          this.queueState = state;
          this.unsaved = waiting;
          this.queueTrouble = error ? inWords(error) : null;
          if (state === "stopped") app.say(`Not saved: ${plural(waiting, "decision")}. ${inWords(error).message}`);
        },
      },
      sessionStorage,
    );
  }

  // ---------------------------------------------------------------- lists

  /** Show the list of a query; `fresh` makes it anew although this tab has it. */
  async open(query: Query, fresh = false): Promise<void> {
    const { app } = this;
    if (!app.about || !app.settings) return;
    this.#opening?.abort();
    const opening = new AbortController();
    this.#opening = opening;
    this.loading = true;
    const filter = effective(query, app.settings.hide_known);
    const order = query.order ?? app.settings.order;
    const name = `safelight.view ${encode({ ...query, shape: "grid", item: null, kept: null })} ${JSON.stringify([filter, order])}`;
    try {
      const view =
        (fresh ? null : await this.#known(name)) ??
        (await app.client.makeView(filter, order, query.stacked, opening.signal));
      if (opening.signal.aborted) return;
      keep(name, view.view);
      this.list?.stop();
      this.selection.clear();
      this.selected = 0;
      const list = new List(app.client, view, app.about, this.selection, {
        arrived: (from, end) => this.#arrived(list, from, end),
        failed: (error) => {
          if (error instanceof ApiError && error.status === 404) void this.open(app.query, true);
          else this.#missed(error);
        },
      });
      this.list = list;
      this.trouble = null;
      app.currentView = view.view;
      app.waiting = 0;
      this.focus = Math.min(query.item ?? 0, Math.max(0, view.count - 1));
      this.#lookAt(this.focus);
    } catch (error) {
      if (opening.signal.aborted) return;
      this.list?.stop();
      this.list = null;
      this.trouble = inWords(error);
    } finally {
      if (this.#opening === opening) this.loading = false;
    }
  }

  /** The view that this tab made earlier, if the server still has it. */
  async #known(name: string) {
    const id = sessionStorage.getItem(digest(name));
    if (!id) return null;
    try {
      return await this.app.client.view(id);
    } catch {
      return null;
    }
  }

  /** Rows or pictures did not come: say so, and try again when the loader is willing to. */
  #missed(error: unknown): void {
    this.app.failed(error);
    this.#missing = true;
    window.setTimeout(() => this.grid?.load(), ChunkLoader.RETRY + 100);
  }

  #arrived(list: List, from: number, end: number): void {
    if (list !== this.list) return;
    if (this.#missing) this.app.trouble = null;
    this.#missing = false;
    this.grid?.refresh(from, end);
    if (this.focus >= from && this.focus < end) this.row = list.row(this.focus);
  }

  // ---------------------------------------------------------------- focus and selection

  #lookAt(index: number): void {
    this.focus = index;
    this.row = this.list?.row(index) ?? null;
    if (this.list && !this.row && this.list.count > 0) this.list.want(index, index + 1);
  }

  /** The grid has put the focus on a tile. */
  focused(index: number): void {
    this.#lookAt(index);
  }

  goTo(index: number): void {
    if (!this.list || this.list.count === 0) return;
    const to = Math.min(Math.max(0, index), this.list.count - 1);
    if (this.grid) this.grid.focus(to);
    else this.#lookAt(to);
  }

  move(by: Parameters<typeof moved>[1], extend: boolean): void {
    if (!this.list || this.list.count === 0) return;
    const columns = this.grid?.geometry.columns ?? 1;
    const from = this.focus;
    const to = moved(from, by, this.list.count, columns, this.grid?.rowsInSight ?? 1);
    if (extend) this.#select(() => this.selection.extend(from, to));
    this.goTo(to);
  }

  press(index: number, how: { shift: boolean; control: boolean }): void {
    if (how.shift) this.#select(() => this.selection.extend(this.focus, index));
    else if (how.control) this.#select(() => this.selection.toggle(index));
    this.goTo(index);
  }

  toggleSelected(): void {
    this.#select(() => this.selection.toggle(this.focus));
    this.app.say(`${plural(this.selected, "tile")} selected`);
  }

  selectAll(): void {
    this.#select(() => this.selection.add(0, this.list?.count ?? 0));
    this.app.say(`All ${plural(this.selected, "tile")} selected. A digit asks before it decides.`);
  }

  clearSelection(): void {
    this.#select(() => this.selection.clear());
  }

  #select(change: () => void): void {
    change();
    this.selected = this.selection.size;
    this.grid?.refresh();
  }

  // ---------------------------------------------------------------- decisions

  /** What the next decision is about. */
  target(): Target {
    if (this.selected === 0) return { index: this.focus };
    if (this.list && this.selected === this.list.count && this.selected > 1) return { all: true };
    return { ranges: this.selection.ranges.map(([from, end]) => [from, end]) };
  }

  /** Decide about the focused tile, or ask first when more than one is selected. */
  decide(set: Changes, what: string, stay: boolean, target: Target = this.target()): void {
    if (!this.list || this.list.count === 0) return;
    const single = "index" in target ? target.index : this.selected === 1 ? this.selection.ranges[0]![0] : null;
    if (single === null) {
      void this.ask(target, set, what);
      return;
    }
    const taken = this.#take(
      { do: "decide", key: newKey(), view: this.list.view.view, target: { index: single }, set },
      [single],
    );
    if (!taken) return;
    if (this.selected > 0) this.clearSelection();
    const last = single + 1 >= this.list.count;
    if (this.app.settings?.advance && !stay && !last) this.goTo(single + 1);
    this.app.say(
      `${what}. ${last ? "This was the last one" : `Now ${count(this.focus + 1)} of ${count(this.list.count)}`}.`,
    );
  }

  /** Ask the server what a decision about many would change, and then the person. */
  async ask(target: Target, set: Changes, what: string): Promise<void> {
    if (!this.list) return;
    const asking: Asking = { target, set, what, preview: null, trouble: null };
    this.asking = asking;
    try {
      const preview = await this.app.client.preview(this.list.view.view, target);
      if (this.asking === asking) this.asking = { ...asking, preview };
    } catch (error) {
      if (this.asking === asking) this.asking = { ...asking, trouble: inWords(error) };
    }
  }

  /** The person said yes. */
  confirm(): void {
    const { asking, list } = this;
    if (!asking?.preview || !list) return;
    this.asking = null;
    const { target, set, preview, what } = asking;
    const touched = this.#touched(target);
    const order: Order = { do: "decide", key: newKey(), view: list.view.view, target, set, confirm: preview.confirm };
    if (this.#take(order, touched)) this.app.say(`${what}: ${plural(preview.contents, "content")}`);
    this.clearSelection();
  }

  /** Give up what is not saved, and show what the server has. */
  discard(): void {
    for (const order of this.queue.waiting) this.#history.drop(order.key);
    this.queue.discard();
    this.list?.reload();
    this.grid?.load();
  }

  undo(): void {
    if (this.#standsStill()) return;
    const done = this.#history.undo();
    const key = newKey();
    this.queue.add(done ? { do: "undo", key, of: done.key } : { do: "undo", key });
    if (done && done.view === this.list?.view.view) this.goTo(done.focus);
  }

  redo(): void {
    if (this.#standsStill()) return;
    const done = this.#history.redo();
    this.queue.add({ do: "redo", key: newKey() });
    if (done && done.view === this.list?.view.view) this.goTo(done.focus);
  }

  /** Whether the queue stands still, which is said then. */
  #standsStill(): boolean {
    if (this.queueState !== "stopped") return false;
    this.app.say("The last decisions are not saved. Try again or discard them first.");
    return true;
  }

  #take(order: Extract<Order, { do: "decide" }>, touched: number[]): boolean {
    const before = touched.map((i) => this.list?.standing(i)).filter((s): s is Before => s !== null && s !== undefined);
    const after = before.map((s) => this.#after(s, order.set));
    if (this.#standsStill()) return false;
    this.#history.push({ key: order.key, view: order.view, focus: this.focus, before, after });
    return this.queue.add(order);
  }

  #after(before: Before, set: Changes): Before {
    if (set.category === undefined) return before;
    const votes = this.app.about?.votes ?? 1;
    const status = set.category === null ? "undecided" : votes === 1 ? "final" : "indicative";
    return { index: before.index, category: set.category, mine: set.category, status };
  }

  /** Tiles that are painted at once; of a very large target only what is loaded. */
  #touched(target: Target): number[] {
    const ranges: readonly (readonly [number, number])[] =
      "all" in target
        ? [[0, this.list?.count ?? 0]]
        : "ranges" in target
          ? target.ranges
          : "indexes" in target
            ? target.indexes.map((i) => [i, i + 1] as const)
            : [];
    const found: number[] = [];
    for (const [from, end] of ranges) {
      if (end - from + found.length > PAINTED) return [];
      for (let i = from; i < end; i++) if (this.list?.standing(i)) found.push(i);
    }
    return found;
  }

  #paintOrder(order: Order, forward: boolean): void {
    const done = this.#history.find(order.do === "decide" ? order.key : order.do === "undo" ? order.of : undefined);
    if (!done || done.view !== this.list?.view.view) return;
    this.list.paint(forward === (order.do === "decide") ? done.after : done.before);
    this.grid?.refresh();
    this.row = this.list.row(this.focus);
  }

  #saved(order: Order, answer: Answer): void {
    const { list } = this;
    if (answer.undecided !== undefined) this.undecided = answer.undecided;
    if (order.do === "decide") {
      this.#history.confirmed(order.key, answer.event);
      if (list?.view.view === order.view) {
        if (answer.standing?.length) list.settle(answer.standing);
        if (!("index" in order.target)) list.reload();
      }
    } else {
      this.#undone(order, answer);
    }
    this.version++;
    this.grid?.refresh();
    this.grid?.load();
    if (list) this.row = list.row(this.focus) ?? this.row;
  }

  #undone(order: Extract<Order, { do: "undo" | "redo" }>, answer: Answer): void {
    const done = order.do === "undo" ? this.#history.find(order.of) : undefined;
    const word = order.do === "undo" ? "Undone" : "Done again";
    this.app.say(answer.contents > 0 ? `${word}: ${plural(answer.contents, "content")}` : `Nothing to ${order.do}`);
    if (done && done.view === this.list?.view.view && done.before.length === 1) this.list.settle(done.before);
    else this.list?.reload();
    const first = answer.indexes_of_view?.[0];
    if (!done && first !== undefined) this.goTo(first);
  }

  #sender(): Sender {
    const { client } = this.app;
    return {
      decide: async (orders) => {
        const plain = orders.map(({ key, view, target, set, confirm }) => ({
          key,
          view,
          target,
          set,
          ...(confirm ? { confirm } : {}),
        }));
        return saveAll(client, plain);
      },
      undo: (order) => orNothing(client.undo(order.key, this.list?.view.view, this.#history.eventOf(order.of))),
      redo: (order) => orNothing(client.redo(order.key, this.list?.view.view)),
    };
  }

  /** The filter of the list that is shown, for facets and pictures of it. */
  filter(): Filter {
    return effective(this.app.query, this.app.settings?.hide_known ?? false);
  }
}

/** A name for the storage of this tab that shows nothing of what was typed (FNV-1a, 53 bits of two runs). */
function digest(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x01000193;
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 16777619);
    b = Math.imul(b ^ text.charCodeAt(i), 2246822519);
  }
  return `safelight.view.${(a >>> 0).toString(36)}${(b >>> 0).toString(36)}`;
}

function keep(name: string, view: string): void {
  try {
    sessionStorage.setItem(digest(name), view);
  } catch {
    /* then a reload makes the list anew */
  }
}
