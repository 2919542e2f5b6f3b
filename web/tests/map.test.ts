import fc from "fast-check";
import { expect, test } from "vitest";
import { around, bounded, boxOf, WORLD, zoomed } from "../src/logic/map";

const degrees = (limit: number) => fc.double({ min: -limit, max: limit, noNaN: true });
const aspects = fc.double({ min: 1, max: 4, noNaN: true });

test("whatever is zoomed stays within the world and keeps the shape of the paper", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0.5, 2), { maxLength: 20 }), aspects, (steps, aspect) => {
      const frame = steps.reduce((f, s) => bounded(zoomed(f, s), aspect), bounded(WORLD, aspect));
      expect(frame.west).toBeGreaterThanOrEqual(-180.001);
      expect(frame.east).toBeLessThanOrEqual(180.001);
      expect(frame.south).toBeGreaterThanOrEqual(-90.001);
      expect(frame.north).toBeLessThanOrEqual(90.001);
      expect(frame.east - frame.west).toBeGreaterThanOrEqual(0.499);
    }),
  );
});

test("a box is the same from any two of its corners, and within the world", () => {
  fc.assert(
    fc.property(degrees(250), degrees(120), degrees(250), degrees(120), (x, y, x2, y2) => {
      const box = boxOf([x, y], [x2, y2]);
      expect(box).toEqual(boxOf([x2, y], [x, y2]));
      expect(box.south).toBeLessThanOrEqual(box.north);
      expect(box.west).toBeLessThanOrEqual(box.east);
      expect(Math.abs(box.east)).toBeLessThanOrEqual(180);
    }),
  );
});

test("a place that is to be shown is in the frame", () => {
  fc.assert(
    fc.property(degrees(170), degrees(70), aspects, (x, y, aspect) => {
      const place = { south: y - 3, west: x - 5, north: y + 3, east: x + 5 };
      const frame = around(place, aspect);
      expect(frame.west).toBeLessThanOrEqual(place.west);
      expect(frame.east).toBeGreaterThanOrEqual(place.east);
      expect(frame.south).toBeLessThanOrEqual(place.south);
      expect(frame.north).toBeGreaterThanOrEqual(place.north);
    }),
  );
});
