import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { within } from "../src/logic/overlay";

describe("overlay", () => {
  test("the whole picture is the place of the picture", () => {
    expect(within(320, { x: 0, y: 40, w: 320, h: 240 }, [0, 0, 1, 1])).toEqual({ x: 0, y: 12.5, w: 100, h: 75 });
    expect(within(200, { x: 50, y: 0, w: 100, h: 200 }, [0.5, 0.25, 0.5, 0.5])).toEqual({ x: 50, y: 25, w: 25, h: 50 });
  });

  test("a rectangle never leaves the picture, whatever is said", () => {
    const part = fc.double({ min: -2, max: 2, noNaN: true });
    fc.assert(
      fc.property(fc.tuple(part, part, fc.double({ min: 0, max: 3, noNaN: true }), part), (box) => {
        const found = within(100, { x: 10, y: 20, w: 80, h: 60 }, [box[0], box[1], box[2], Math.abs(box[3])]);
        expect(found!.x).toBeGreaterThanOrEqual(10 - 1e-9);
        expect(found!.x + found!.w).toBeLessThanOrEqual(90 + 1e-9);
        expect(found!.y + found!.h).toBeLessThanOrEqual(80 + 1e-9);
        expect(found!.w).toBeGreaterThanOrEqual(0);
      }),
    );
    expect(within(100, { x: 0, y: 0, w: 1, h: 1 }, [1, 2])).toBe(null);
  });
});
