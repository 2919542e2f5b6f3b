import { expect, test } from "vitest";
import { bytes, count, duration, inkOn, moment, plural, typedNumber } from "../src/logic/words";

test("numbers, sizes and times read as people write them", () => {
  expect([count(1204), plural(1, "content"), plural(48210, "content")]).toEqual([
    "1,204",
    "1 content",
    "48,210 contents",
  ]);
  expect([bytes(0), bytes(999), bytes(189_200), bytes(4.2e12)]).toEqual(["0 B", "999 B", "189 kB", "4.2 TB"]);
  expect([duration(40), duration(720), duration(12_000), duration(187_200)]).toEqual([
    "40 s",
    "12 min",
    "3 h 20 min",
    "2 d 4 h",
  ]);
});

test("a number is understood as it is typed", () => {
  expect([
    typedNumber("734,000"),
    typedNumber("734 000"),
    typedNumber("734.000"),
    typedNumber("12x"),
    typedNumber(""),
  ]).toEqual([734000, 734000, 734000, null, null]);
});

test("a time is read without its fractions, and names its zone only when it has one", () => {
  expect([moment("2026-11-25T02:19:35.724642Z"), moment("2016-05-17T11:17:00"), moment("soon")]).toEqual([
    "2026-11-25 02:19:35 UTC",
    "2016-05-17 11:17:00",
    "soon",
  ]);
});

test("ink on a colour is what reads better", () => {
  expect([inkOn("#ffffff"), inkOn("#000000"), inkOn("#b3261e"), inkOn("#ffcc00"), inkOn("nonsense")]).toEqual([
    "#000000",
    "#ffffff",
    "#ffffff",
    "#000000",
    "#ffffff",
  ]);
});
