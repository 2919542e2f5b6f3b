import fc from "fast-check";
import { expect, test } from "vitest";
import { Selection } from "../src/logic/selection";

const steps = fc.array(
  fc.record({ what: fc.constantFrom("add", "remove", "toggle"), from: fc.nat(60), length: fc.nat(20) }),
  { maxLength: 30 },
);

test("a selection of ranges is the same as a set of numbers, with ranges apart and in order", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const selection = new Selection();
      const plain = new Set<number>();
      for (const { what, from, length } of all) {
        if (what === "toggle") {
          selection.toggle(from);
          if (!plain.delete(from)) plain.add(from);
        } else {
          selection[what as "add" | "remove"](from, from + length);
          for (let i = from; i < from + length; i++) what === "add" ? plain.add(i) : plain.delete(i);
        }
      }
      for (let i = 0; i < 90; i++) expect(selection.has(i)).toBe(plain.has(i));
      expect(selection.size).toBe(plain.size);
      const flat = selection.ranges.flat();
      expect(flat).toEqual([...flat].sort((a, b) => a - b));
      expect(new Set(flat).size).toBe(flat.length);
    }),
  );
});

test("extending goes from where it began, in both directions", () => {
  const selection = new Selection();
  selection.extend(5, 8);
  selection.extend(8, 3);
  expect(selection.ranges).toEqual([[3, 6]]);
});

test("all of a million is one range", () => {
  const selection = new Selection();
  selection.add(0, 1_000_000);
  expect([selection.ranges.length, selection.size, selection.has(734_000)]).toEqual([1, 1_000_000, true]);
});
