import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decode,
  effective,
  encode,
  type Filter,
  privatePart,
  type Query,
  START,
  sameList,
  toggled,
} from "../src/logic/query";

const words = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 3 });
const day = fc.integer({ min: 0, max: 20_000 }).map((d) => new Date(d * 86_400_000).toISOString().slice(0, 10));
const filters: fc.Arbitrary<Filter> = fc.record(
  {
    kind: words,
    exhibit: words,
    camera: words,
    category: words,
    status: words,
    problem: words,
    serial: words,
    tag: words,
    path: fc.string({ minLength: 1 }),
    text: fc.string({ minLength: 1 }),
    min_size: fc.nat(),
    max_size: fc.nat(),
    since: day,
    until: day,
    mine: fc.boolean(),
    new_members: fc.boolean(),
    place: fc.constant({ south: -10.5, west: -20, north: 10, east: 170.25 }),
    queue: fc.constantFrom("disputes", "proposals", "all"),
    similar_to: fc.record({ view: fc.constant("v7"), index: fc.nat(), distance: fc.nat(64) }),
    same: fc.record({
      view: fc.constant("v7"),
      index: fc.nat(),
      what: fc.constantFrom("folder", "camera", "stack", "content", "alike"),
    }),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Filter>;
const queries: fc.Arbitrary<Query> = fc.record({
  page: fc.constantFrom("review", "disputes", "proposals"),
  shape: fc.constantFrom("grid", "time", "map"),
  filter: filters,
  order: fc.option(fc.string({ minLength: 1, maxLength: 10 })),
  stacked: fc.boolean(),
  item: fc.option(fc.nat(1_000_000)),
  kept: fc.constantFrom(null, "k.Ab3-_xYz01234567"),
}) as fc.Arbitrary<Query>;

describe("query", () => {
  test("an address and the words that were kept give back the same query", () => {
    fc.assert(
      fc.property(queries, (query) => {
        expect(decode(encode(query), privatePart(query.filter))).toEqual(query);
      }),
    );
  });

  test("nothing that may be text of the evidence, or points at a picture, stands in the address", () => {
    const filter: Filter = {
      path: "home/anna/*",
      text: "anna",
      serial: ["SN1234"],
      tag: ["anna"],
      camera: ["<b>Anna's phone</b>"],
      similar_to: { view: "v7", index: 3, distance: 31 },
      same: { view: "v7", index: 3, what: "folder" },
    };
    expect(encode({ ...START, filter })).toBe("#/review");
    expect(encode({ ...START, filter, kept: "k.Ab3-_xYz0123" })).toBe("#/review?kept=k.Ab3-_xYz0123");
  });

  test("what is no handle is none", () => {
    for (const text of ["", "k.", "k.short", "v7", "k.abcdefgh/../x", `k.${"a".repeat(65)}`])
      expect(decode(`#/review?kept=${encodeURIComponent(text)}`).kept).toBe(null);
  });

  test("by its handle a relation is found although the list is forgotten", () => {
    const filter: Filter = {
      similar_to: { view: "v7", index: 3, distance: 31 },
      same: { view: "v7", index: 3, what: "stack" },
    };
    const asked = effective({ ...START, filter, kept: "k.Ab3-_xYz0123" }, false);
    expect(asked.similar_to).toEqual({ view: "k.Ab3-_xYz0123", index: 0, distance: 31 });
    expect(asked.same).toEqual({ view: "k.Ab3-_xYz0123", index: 1, what: "stack" });
    expect(effective({ ...START, filter }, false)).toEqual(filter);
  });

  test("any text whatever is some query", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        encode(decode(text));
      }),
    );
    expect(decode("#/review?min_size=x&since=2016-99-99&place=1,2&item=0&same=v,1,all&as=film")).toEqual(START);
    expect(decode("#token=abc")).toEqual(START);
  });

  test("known ones are left out unless asked for", () => {
    expect(effective(START, true).known).toEqual(["other", "new"]);
    expect(effective(START, false).known).toBe(undefined);
    expect(effective({ ...START, filter: { known: ["illegal"] } }, true).known).toEqual(["illegal"]);
    expect(effective({ ...START, page: "proposals" }, true)).toEqual({ queue: "proposals" });
  });

  test("opening an item or the map is still the same list", () => {
    expect(sameList({ ...START, item: 4 }, { ...START, shape: "map" })).toBe(true);
    expect(sameList(START, { ...START, filter: { text: "a" } })).toBe(false);
    expect(sameList(START, { ...START, kept: "k.Ab3-_xYz0123" })).toBe(true);
  });

  test("a value put in and taken out leaves nothing behind", () => {
    expect(toggled(toggled({}, "kind", "image"), "kind", "image")).toEqual({});
    expect(toggled({ kind: ["image"] }, "kind", "video")).toEqual({ kind: ["image", "video"] });
  });
});
