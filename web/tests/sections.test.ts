import fc from "fast-check";
import { expect, test } from "vitest";
import { sectionAt } from "../src/logic/sections";

test("the part of an index is the last one that begins at or before it", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 12 }), fc.nat(300), (counts, index) => {
      let first = 0;
      const sections = counts.map((count, i) => {
        const section = { label: String(i), first, count };
        first += count;
        return section;
      });
      const plain = sections.filter((s) => s.first <= index).at(-1);
      expect(sectionAt(sections, index)).toEqual(plain);
    }),
  );
});
