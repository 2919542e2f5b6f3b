import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  GAP,
  type Geometry,
  geometry,
  lastPosition,
  MAX_PHYSICAL,
  positionKeeping,
  positionShowing,
  rowOf,
  rowsAt,
  slotOf,
  slotsNeeded,
} from "../src/logic/geometry";
import { Scroll, toLogical, toPhysical } from "../src/logic/scroll";

const geometries = fc
  .record({
    count: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 5_000_000 }), fc.constant(100_000_000)),
    width: fc.double({ min: 200, max: 4000, noNaN: true }),
    height: fc.double({ min: 100, max: 2500, noNaN: true }),
    tile: fc.constantFrom(128, 160, 192, 256),
  })
  .map(({ count, width, height, tile }) => geometry(count, width, height, tile));
const share = fc.double({ min: 0, max: 1, noNaN: true });

describe("geometry", () => {
  test("no box is higher than browsers give, whatever the number of tiles", () => {
    fc.assert(
      fc.property(geometries, (g) => {
        expect(g.physical).toBeLessThanOrEqual(MAX_PHYSICAL);
      }),
    );
  });

  test("the last position shows the last row whole, and nothing behind it", () => {
    fc.assert(
      fc.property(
        geometries.filter((g) => g.rows > 0 && g.viewport > g.pitch + 2 * GAP),
        (g) => {
          const y = lastPosition(g);
          const bottom = g.rows * g.pitch + GAP - y;
          expect(bottom).toBeLessThanOrEqual(g.viewport + 0.001);
          expect(rowsAt(g, y).end).toBe(g.rows);
        },
      ),
    );
  });

  test("every position has its rows in sight, each in a slot of its own, all within the slots there are", () => {
    fc.assert(
      fc.property(geometries, share, (g, at) => {
        const { first, end } = rowsAt(g, lastPosition(g) * at);
        const slots = slotsNeeded(g);
        expect(end - first).toBeLessThanOrEqual(Math.max(slots, 0));
        const used = new Set<number>();
        for (let row = first; row < end; row++) used.add(slotOf(row, slots));
        expect(used.size).toBe(end - first);
      }),
    );
  });

  test("slot k shows tile i with i mod n = k", () => {
    const g = geometry(1_000_000, 1600, 1000, 160);
    const slots = slotsNeeded(g);
    const n = slots * g.columns;
    for (const i of [0, 17, 734_000, 999_999])
      expect(slotOf(rowOf(g, i), slots) * g.columns + (i % g.columns)).toBe(i % n);
  });

  test("a tile that is to be shown is wholly in sight afterwards", () => {
    fc.assert(
      fc.property(
        geometries.filter((g) => g.count > 0 && g.viewport > g.pitch + 2 * GAP),
        share,
        share,
        (g, a, b) => {
          const index = Math.floor(a * (g.count - 1));
          const y = positionShowing(g, index, lastPosition(g) * b);
          const top = rowOf(g, index) * g.pitch - y;
          expect(top).toBeGreaterThanOrEqual(-0.001);
          expect(top + g.pitch).toBeLessThanOrEqual(g.viewport + 0.001);
        },
      ),
    );
  });

  test("the focused tile stays in sight when the window or the zoom changes", () => {
    const sizes = fc.record({
      width: fc.integer({ min: 300, max: 3000 }),
      height: fc.integer({ min: 350, max: 2000 }),
      tile: fc.constantFrom(128, 160, 192, 256),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2_000_000 }), sizes, sizes, share, (count, a, b, at) => {
        const before = geometry(count, a.width, a.height, a.tile);
        const after = geometry(count, b.width, b.height, b.tile);
        const index = Math.floor(at * (count - 1));
        const y = positionKeeping(before, after, index, positionShowing(before, index, 0));
        const top = rowOf(after, index) * after.pitch - y;
        expect(top).toBeGreaterThanOrEqual(-0.001);
        expect(top).toBeLessThan(after.viewport);
      }),
    );
  });

  test("columns stand in the middle and within the window", () => {
    const g = geometry(100, 716, 600, 160);
    expect([g.columns, g.left, g.left + g.columns * (160 + GAP) - GAP <= 716 - GAP]).toEqual([4, 26, true]);
  });
});

describe("scroll", () => {
  test("physical and logical position are inverse to the nearest pixel, and grow together", () => {
    fc.assert(
      fc.property(geometries, share, share, (g, a, b) => {
        const [low, high] = [Math.min(a, b) * lastPosition(g), Math.max(a, b) * lastPosition(g)];
        expect(toPhysical(g, low)).toBeLessThanOrEqual(toPhysical(g, high));
        const stretch = Math.max(1, (lastPosition(g) / Math.max(1, g.physical - g.viewport)) * 1.2);
        expect(Math.abs(toLogical(g, toPhysical(g, low)) - low)).toBeLessThanOrEqual(stretch + 1);
      }),
    );
  });

  test("the bar at its ends is the list at its ends", () => {
    fc.assert(
      fc.property(geometries, (g) => {
        expect(toLogical(g, 0)).toBe(0);
        expect(toLogical(g, g.physical - g.viewport)).toBeCloseTo(lastPosition(g), 3);
      }),
    );
  });

  /** A box as a browser has it: clamps and rounds what it is given. */
  class Box {
    top = 0;
    readonly scroll: Scroll;
    constructor(readonly g: Geometry) {
      this.scroll = new Scroll(g);
    }
    wheel(delta: number): void {
      const top = Math.min(Math.max(0, this.top + delta), this.g.physical - this.g.viewport);
      if (top === this.top) return;
      this.top = top;
      this.put(this.scroll.onScroll(top, true));
    }
    put(top: number | null): void {
      if (top === null) return;
      this.top = Math.min(Math.max(0, Math.round(top)), this.g.physical - this.g.viewport);
      this.scroll.onScroll(this.top, false);
    }
    rest(): void {
      const top = this.scroll.anchor();
      if (top !== null) this.top = top;
    }
  }

  test("the wheel goes from the first tile to the last and back without a rest, and hits no wall", () => {
    const box = new Box(geometry(1_000_000, 1600, 1000, 160));
    const step = 3000;
    let turns = 0;
    while (box.scroll.y < lastPosition(box.g) && turns++ < 20_000) box.wheel(step);
    expect(box.scroll.y).toBe(lastPosition(box.g));
    expect(turns).toBeLessThanOrEqual(Math.ceil(lastPosition(box.g) / step) + 40);
    turns = 0;
    while (box.scroll.y > 0 && turns++ < 20_000) box.wheel(-step);
    expect(box.scroll.y).toBe(0);
    expect(turns).toBeLessThanOrEqual(Math.ceil(lastPosition(box.g) / step) + 40);
  });

  test("a turn of the wheel moves as many pixels everywhere, and a rest moves none", () => {
    fc.assert(
      fc.property(share, fc.array(fc.integer({ min: -900, max: 900 }), { maxLength: 40 }), (at, deltas) => {
        const g = geometry(3_000_000, 1600, 1000, 160);
        const box = new Box(g);
        const start = 10_000 + at * (lastPosition(g) - 80_000);
        box.put(box.scroll.moveTo(start));
        box.scroll.moveTo(start);
        for (const d of deltas) {
          const before = box.scroll.y;
          box.wheel(d);
          expect(Math.abs(box.scroll.y - before - d)).toBeLessThanOrEqual(1);
          const resting = box.scroll.y;
          box.rest();
          expect(box.scroll.y).toBe(resting);
        }
      }),
    );
  });

  test("the bar drawn anywhere shows that part of the list", () => {
    const g = geometry(1_000_000, 1600, 1000, 160);
    const scroll = new Scroll(g);
    scroll.onScroll((g.physical - g.viewport) / 2, false);
    expect(scroll.y / lastPosition(g)).toBeCloseTo(0.5, 3);
  });
});
