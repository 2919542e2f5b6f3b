// The grid: recycled rows of tiles in a window on a list of any length.
//
// One scroll box (role grid, the one tab stop) holds a stage that sticks to its top; in it a few rows are moved by transforms. Row R
// lives in slot R mod slots, so that scrolling reuses elements and makes none. All work is O(rows in sight). What is loaded when,
// and what a tile says, comes from the source; which keys do what is not known here.
import {
  CAPTION,
  GAP,
  type Geometry,
  geometry,
  positionKeeping,
  positionShowing,
  rowOf,
  rowsAt,
  slotOf,
  slotsNeeded,
} from "../logic/geometry";
import { Pace } from "../logic/packs";
import { Scroll } from "../logic/scroll";
import { type Face, wear } from "./face";
import { RowPainter } from "./painter";

export interface GridSource {
  readonly count: number;
  /** What a tile says, or null when it is not loaded. */
  face(index: number): Face | null;
  /** Compressed pixels; null when there are none, undefined when they are not loaded. */
  picture(index: number): Uint8Array<ArrayBuffer> | null | undefined;
  isSelected(index: number): boolean;
  /** Load what covers [from, end). */
  want(from: number, end: number): void;
}

export interface GridEvents {
  /** The focus is on this tile now. */
  focus(index: number): void;
  /** A tile was pressed: with Shift or Ctrl, or twice. */
  press(index: number, how: { shift: boolean; control: boolean; twice: boolean }): void;
  /** Rows in sight have changed. */
  sight(from: number, end: number): void;
}

interface Slot {
  readonly element: HTMLElement;
  readonly painter: RowPainter;
  readonly cells: HTMLElement[];
  row: number;
}

/** A turn of the wheel or a touch moves the box for at most so long, milliseconds. */
const RELATIVE = 300;
const ANCHOR_REST = 150;
/** Rows are positioned from a base that follows, so that transforms stay small numbers. */
const BASE_SPAN = 100_000;

const NOTHING: GridSource = {
  count: 0,
  face: () => null,
  picture: () => null,
  isSelected: () => false,
  want: () => {},
};

export class Grid {
  readonly element = document.createElement("div");
  focused = 0;
  readonly #stage = document.createElement("div");
  readonly #mover = document.createElement("div");
  readonly #spacer = document.createElement("div");
  readonly #pace = new Pace();
  readonly #observer: ResizeObserver;
  #source: GridSource = NOTHING;
  #g: Geometry = geometry(0, 400, 400, 160);
  #scroll = new Scroll(this.#g);
  #slots: Slot[] = [];
  #base = 0;
  #tile = 160;
  #ratio = 0;
  #blanked = false;
  #pictures = true;
  #frame = 0;
  #rest = 0;
  #relativeUntil = 0;
  #sight = "";

  constructor(
    label: string,
    private readonly events: GridEvents,
  ) {
    const { element } = this;
    element.className = "grid";
    element.tabIndex = 0;
    element.setAttribute("role", "grid");
    element.setAttribute("aria-label", label);
    element.setAttribute("aria-multiselectable", "true");
    this.#stage.className = "stage";
    this.#mover.className = "mover";
    for (const part of [this.#stage, this.#mover, this.#spacer]) part.setAttribute("role", "presentation");
    this.#stage.append(this.#mover);
    element.append(this.#stage, this.#spacer);
    element.addEventListener("scroll", () => this.#schedule(), { passive: true });
    for (const hand of ["wheel", "touchmove"] as const) {
      element.addEventListener(hand, () => (this.#relativeUntil = performance.now() + RELATIVE), { passive: true });
    }
    element.addEventListener("pointerdown", (event) => this.#pointer(event, false));
    element.addEventListener("dblclick", (event) => this.#pointer(event, true));
    this.#observer = new ResizeObserver(() => this.layout());
    this.#observer.observe(element);
  }

  destroy(): void {
    this.#observer.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#rest);
    for (const slot of this.#slots) slot.painter.clear();
    this.element.remove();
  }

  get geometry(): Geometry {
    return this.#g;
  }

  /** Logical position, CSS pixels. */
  get y(): number {
    return this.#scroll.y;
  }

  get rowsInSight(): number {
    return Math.max(1, Math.floor(this.#g.viewport / this.#g.pitch));
  }

  /** Show another list, with the focus on one of its tiles. */
  show(source: GridSource, focus = 0): void {
    this.#source = source;
    this.focused = Math.min(Math.max(0, focus), Math.max(0, source.count - 1));
    for (const slot of this.#slots) this.#empty(slot);
    this.#g = this.#measure();
    this.#build();
    this.#moveTo(positionShowing(this.#g, this.focused, 0));
    this.#announceFocus();
  }

  /** Edge of a tile, CSS pixels. */
  set tile(edge: number) {
    if (edge === this.#tile) return;
    this.#tile = edge;
    this.layout();
  }

  /** Whether tiles show their protected pictures at all. */
  set pictures(on: boolean) {
    this.#pictures = on;
    this.#repaintPixels();
  }

  /** Remove all pixels at once, or draw them again. */
  blank(on: boolean): void {
    this.#blanked = on;
    this.element.classList.toggle("blanked", on);
    this.#repaintPixels();
  }

  /** Take the size of the window anew; the focused tile stays where it was, if it was in sight. */
  layout(): void {
    const before = this.#g;
    const after = this.#measure();
    const same =
      after.columns === before.columns &&
      after.left === before.left &&
      after.viewport === before.viewport &&
      after.tile === before.tile;
    if (same && after.count === before.count && this.#ratio === devicePixelRatio) return;
    const first = Math.min(this.#source.count - 1, Math.ceil(this.y / before.pitch) * before.columns);
    const top = rowOf(before, this.focused) * before.pitch - this.y;
    const keep = top > -before.pitch && top < before.viewport ? this.focused : Math.max(0, first);
    const y = positionKeeping(before, after, keep, this.y);
    this.#g = after;
    this.#build();
    this.#moveTo(y);
  }

  /** Put the focus on a tile and bring it into sight. */
  focus(index: number): void {
    if (this.#source.count === 0) return;
    this.focused = Math.min(Math.max(0, index), this.#source.count - 1);
    const y = positionShowing(this.#g, this.focused, this.y);
    if (y !== this.y) this.#moveTo(y);
    else this.#paintFocus();
    this.#announceFocus();
  }

  /** Show what has changed or arrived: of all rows in sight, or of those that hold [from, end). */
  refresh(from = 0, end = Number.POSITIVE_INFINITY): void {
    for (const slot of this.#slots) {
      if (slot.row < 0) continue;
      const first = slot.row * this.#g.columns;
      if (first < end && first + this.#g.columns > from) this.#paint(slot);
    }
  }

  /** Load what is in sight and not there. */
  load(): void {
    this.#draw(performance.now());
  }

  /** Scroll by logical pixels, as the wheel does. */
  scrollBy(pixels: number): void {
    this.#moveTo(this.y + pixels);
  }

  cellOf(index: number): HTMLElement | null {
    const slot = this.#slots[slotOf(rowOf(this.#g, index), this.#slots.length)];
    return slot && slot.row === rowOf(this.#g, index) ? (slot.cells[index % this.#g.columns] ?? null) : null;
  }

  #measure(): Geometry {
    return geometry(this.#source.count, this.element.clientWidth, this.element.clientHeight, this.#tile);
  }

  /** Make as many slots and cells as the window needs; those there are, are kept. */
  #build(): void {
    const g = this.#g;
    this.#ratio = devicePixelRatio;
    this.#stage.style.height = `${g.viewport}px`;
    this.#spacer.style.height = `${g.physical - g.viewport}px`;
    this.element.style.setProperty("--tile", `${g.tile}px`);
    this.element.style.setProperty("--caption", `${CAPTION}px`);
    this.element.setAttribute("aria-rowcount", String(g.rows));
    this.element.setAttribute("aria-colcount", String(g.columns));
    const needed = slotsNeeded(g);
    while (this.#slots.length > needed) this.#slots.pop()?.element.remove();
    while (this.#slots.length < needed) this.#slots.push(this.#newSlot());
    for (const slot of this.#slots) {
      while (slot.cells.length > g.columns) slot.cells.pop()?.remove();
      while (slot.cells.length < g.columns) slot.cells.push(this.#newCell(slot.element, slot.cells.length));
      slot.cells.forEach((cell, column) => {
        cell.style.left = `${g.left + column * (g.tile + GAP)}px`;
      });
      slot.painter.resize(g.columns, g.tile, this.#ratio);
      slot.painter.canvas.style.left = `${g.left}px`;
      this.#empty(slot);
    }
  }

  #newSlot(): Slot {
    const element = document.createElement("div");
    element.className = "row";
    element.setAttribute("role", "row");
    const painter = new RowPainter();
    element.append(painter.canvas);
    this.#mover.append(element);
    return { element, painter, cells: [], row: -1 };
  }

  #newCell(row: HTMLElement, column: number): HTMLElement {
    const cell = document.createElement("div");
    cell.className = "cell";
    cell.setAttribute("role", "gridcell");
    cell.setAttribute("aria-colindex", String(column + 1));
    cell.append(document.createElement("span"));
    row.append(cell);
    return cell;
  }

  #empty(slot: Slot): void {
    slot.row = -1;
    slot.element.hidden = true;
    slot.painter.clear();
  }

  #moveTo(y: number): void {
    this.element.scrollTop = this.#scroll.resize(this.#g, y);
    this.#draw(performance.now());
  }

  #schedule(): void {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      const now = performance.now();
      const put = this.#scroll.onScroll(this.element.scrollTop, now < this.#relativeUntil);
      if (put !== null) this.element.scrollTop = put;
      this.#draw(now);
    });
  }

  /** Move the rows to where they belong, give rows that have left to those that came, and load or wait. */
  #draw(now: number): void {
    const g = this.#g;
    this.#pace.frame(this.y, g.pitch, now);
    const { first, end } = rowsAt(g, this.y);
    const rebase = Math.abs(this.y - this.#base) > BASE_SPAN;
    if (rebase) this.#base = Math.floor(this.y / g.pitch) * g.pitch;
    for (let row = first; row < end; row++) {
      const slot = this.#slots[slotOf(row, this.#slots.length)]!;
      const changed = slot.row !== row;
      if (changed || rebase) slot.element.style.transform = `translateY(${GAP + row * g.pitch - this.#base}px)`;
      if (changed) this.#assign(slot, row);
    }
    for (const slot of this.#slots) if (slot.row >= 0 && (slot.row < first || slot.row >= end)) this.#empty(slot);
    this.#mover.style.transform = `translateY(${this.#base - this.y}px)`;
    this.#load(first, end, now);
  }

  #assign(slot: Slot, row: number): void {
    slot.row = row;
    slot.element.hidden = false;
    slot.element.setAttribute("aria-rowindex", String(row + 1));
    slot.painter.clear();
    this.#paint(slot);
  }

  #load(first: number, end: number, now: number): void {
    clearTimeout(this.#rest);
    const g = this.#g;
    const [from, to] = [first * g.columns, Math.min(g.count, end * g.columns)];
    if (this.#pace.mayLoad(now)) {
      this.#source.want(from, to);
      this.#paintPixels();
    } else {
      this.#rest = window.setTimeout(() => this.#draw(performance.now()), Pace.REST);
      return;
    }
    const sight = `${from}-${to}`;
    if (sight !== this.#sight) {
      this.#sight = sight;
      this.events.sight(from, to);
    }
    this.#rest = window.setTimeout(() => this.#anchor(), ANCHOR_REST);
  }

  #anchor(): void {
    const top = this.#scroll.anchor();
    if (top !== null) this.element.scrollTop = top;
  }

  #paint(slot: Slot): void {
    const g = this.#g;
    const first = slot.row * g.columns;
    slot.cells.forEach((cell, column) => {
      const index = first + column;
      cell.hidden = index >= g.count;
      if (cell.hidden) return;
      const face = this.#source.face(index);
      wear(cell, face);
      cell.id = `tile-${index}`;
      cell.setAttribute("aria-label", face ? `${index + 1}: ${face.label}` : `${index + 1}: not loaded yet`);
      cell.setAttribute("aria-selected", String(this.#source.isSelected(index)));
      cell.classList.toggle("focused", index === this.focused);
    });
    this.#paintSlotPixels(slot);
  }

  #paintPixels(): void {
    for (const slot of this.#slots) if (slot.row >= 0) this.#paintSlotPixels(slot);
  }

  #paintSlotPixels(slot: Slot): void {
    if (this.#blanked || !this.#pictures || !this.#pace.mayLoad(performance.now())) return;
    const first = slot.row * this.#g.columns;
    for (let column = 0; column < this.#g.columns; column++) {
      if (slot.painter.has(column) || first + column >= this.#g.count) continue;
      const picture = this.#source.picture(first + column);
      if (picture) void slot.painter.draw(column, picture);
    }
  }

  #repaintPixels(): void {
    for (const slot of this.#slots) slot.painter.clear();
    this.#paintPixels();
  }

  #paintFocus(): void {
    for (const slot of this.#slots) {
      slot.cells.forEach((cell, column) => {
        cell.classList.toggle("focused", slot.row >= 0 && slot.row * this.#g.columns + column === this.focused);
      });
    }
  }

  #announceFocus(): void {
    this.#paintFocus();
    if (this.#source.count > 0) this.element.setAttribute("aria-activedescendant", `tile-${this.focused}`);
    else this.element.removeAttribute("aria-activedescendant");
    this.events.focus(this.focused);
  }

  #pointer(event: MouseEvent, twice: boolean): void {
    const cell = (event.target as Element).closest<HTMLElement>(".cell");
    if (!cell || event.button !== 0) return;
    const index = Number(cell.id.slice("tile-".length));
    this.events.press(index, { shift: event.shiftKey, control: event.ctrlKey || event.metaKey, twice });
  }
}
