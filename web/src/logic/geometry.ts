// Where tiles stand: pure arithmetic on counts and CSS pixels, O(1) in the number of tiles.
//
// Cells are of one size, so that position follows from the index alone. Browsers clamp the height of a box (Chromium at 33,554,428 px,
// half of that on dense screens; Firefox at 17,895,697 px), so the scroll box is never higher than MAX_PHYSICAL; the logical
// position is kept apart from it (see scroll.ts).

/** Highest scroll box we ask of a browser, in CSS pixels: below half of the lowest limit that was measured. */
export const MAX_PHYSICAL = 8_000_000;

/** Space between tiles and around them, in CSS pixels. */
export const GAP = 8;

/** Height of the line of text below each picture, in CSS pixels. */
export const CAPTION = 22;

export interface Geometry {
  /** Tiles in the view. */
  readonly count: number;
  /** Edge of the picture, CSS pixels. */
  readonly tile: number;
  readonly columns: number;
  /** Where the first column begins, CSS pixels: what is left over stands on both sides. */
  readonly left: number;
  readonly rows: number;
  /** Distance from one row to the next, CSS pixels. */
  readonly pitch: number;
  /** Height of the window, CSS pixels. */
  readonly viewport: number;
  /** Full height of all rows: where the last row ends, at least the height of the window. */
  readonly logical: number;
  /** Height of the scroll box. */
  readonly physical: number;
}

export interface RowWindow {
  /** First row to be shown and the one after the last. */
  readonly first: number;
  readonly end: number;
}

export function geometry(count: number, width: number, viewport: number, tile: number): Geometry {
  const columns = Math.max(1, Math.floor((width - GAP) / (tile + GAP)));
  const left = Math.max(GAP, Math.floor((width - columns * (tile + GAP) + GAP) / 2));
  const rows = Math.ceil(count / columns);
  const pitch = tile + CAPTION + GAP;
  const height = Math.max(1, viewport);
  const logical = Math.max(height, rows * pitch + GAP);
  const physical = Math.min(logical, Math.max(MAX_PHYSICAL, 4 * height));
  return { count, tile, columns, left, rows, pitch, viewport: height, logical, physical };
}

/** Highest logical position: there the last row is wholly in the window. */
export function lastPosition(g: Geometry): number {
  return g.logical - g.viewport;
}

export function clampPosition(g: Geometry, y: number): number {
  return Math.min(Math.max(0, y), lastPosition(g));
}

/** Rows in sight at a logical position, with `overscan` more on either side. */
export function rowsAt(g: Geometry, y: number, overscan = 1): RowWindow {
  if (g.rows === 0) return { first: 0, end: 0 };
  const first = Math.floor((y - GAP) / g.pitch) - overscan;
  const end = Math.ceil((y + g.viewport - GAP) / g.pitch) + overscan;
  return { first: Math.min(Math.max(0, first), g.rows - 1), end: Math.max(1, Math.min(g.rows, end)) };
}

/** How many row slots serve every position: the most rows that `rowsAt` can give. */
export function slotsNeeded(g: Geometry, overscan = 1): number {
  return Math.min(g.rows, Math.ceil(g.viewport / g.pitch) + 1 + 2 * overscan);
}

/** The slot that shows a row. Rows in one window never share a slot; a row keeps its slot while it is in sight. */
export function slotOf(row: number, slots: number): number {
  return row % slots;
}

export function rowOf(g: Geometry, index: number): number {
  return Math.floor(index / g.columns);
}

/** Logical position nearest to `y` at which the row of `index` is wholly in sight. */
export function positionShowing(g: Geometry, index: number, y: number): number {
  const top = rowOf(g, index) * g.pitch;
  const bottom = top + g.pitch + GAP;
  if (top < y || bottom - top > g.viewport) return clampPosition(g, top);
  if (bottom > y + g.viewport) return clampPosition(g, bottom - g.viewport);
  return clampPosition(g, y);
}

/** Logical position that keeps a tile where it stood in the window when columns or sizes change. */
export function positionKeeping(before: Geometry, after: Geometry, index: number, y: number): number {
  const inWindow = rowOf(before, index) * before.pitch - y;
  const visible = inWindow > -before.pitch && inWindow < before.viewport;
  const y2 = rowOf(after, index) * after.pitch - (visible ? inWindow : 0);
  return visible ? positionShowing(after, index, clampPosition(after, y2)) : clampPosition(after, y2);
}
