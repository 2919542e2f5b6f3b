import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { actionOf, belongsToField, type Key, moved } from "../src/logic/keymap";

const key = (part: Partial<Key>): Key => ({
  key: "",
  code: "",
  shiftKey: false,
  ctrlKey: false,
  altKey: false,
  metaKey: false,
  repeat: false,
  ...part,
});

describe("actionOf", () => {
  test("digits count by their place: AZERTY gives & for 1, Shift gives !, the keypad gives its own", () => {
    expect(actionOf(key({ key: "&", code: "Digit1" }))).toEqual({ kind: "decide", digit: 1, stay: false });
    expect(actionOf(key({ key: "!", code: "Digit1", shiftKey: true }))).toEqual({
      kind: "decide",
      digit: 1,
      stay: true,
    });
    expect(actionOf(key({ key: "7", code: "Numpad7" }))).toEqual({ kind: "decide", digit: 7, stay: false });
  });

  test("letters count by what the layout gives, large or small", () => {
    expect(actionOf(key({ key: "n", code: "KeyB" }))).toEqual({ kind: "note" });
    expect(actionOf(key({ key: "N", code: "KeyN" }))).toEqual({ kind: "note" });
  });

  test("undo and redo by their usual keys", () => {
    expect(actionOf(key({ key: "z", code: "KeyY", ctrlKey: true }))).toEqual({ kind: "undo" });
    expect(actionOf(key({ key: "Z", code: "KeyZ", ctrlKey: true, shiftKey: true }))).toEqual({ kind: "redo" });
    expect(actionOf(key({ key: "Backspace", code: "Backspace" }))).toEqual({ kind: "undo" });
  });

  test("a key that is held neither decides again nor reveals again, and arrows go on", () => {
    for (const held of [
      { key: "1", code: "Digit1" },
      { key: " ", code: "Space" },
      { key: "Backspace" },
      { key: "z", ctrlKey: true },
    ]) {
      expect(actionOf(key({ ...held, repeat: true }))).toBe(null);
    }
    expect(actionOf(key({ key: "ArrowRight", repeat: true }))).toEqual({ kind: "move", by: "right", extend: false });
  });

  test("what the browser uses with Alt, Meta or Ctrl stays the browser's", () => {
    for (const mine of [
      { key: "ArrowLeft", altKey: true },
      { key: "1", code: "Digit1", ctrlKey: true },
      { key: "r", ctrlKey: true },
      { key: "1", code: "Digit1", metaKey: true },
    ]) {
      expect(actionOf(key(mine))).toBe(null);
    }
  });
});

describe("belongsToField", () => {
  test("typing in a field decides nothing; a button keeps Space and Enter only", () => {
    expect(belongsToField("INPUT", false, "text", key({ key: "1", code: "Digit1" }))).toBe(true);
    expect(belongsToField("INPUT", false, "checkbox", key({ key: "1", code: "Digit1" }))).toBe(false);
    expect(belongsToField("BUTTON", false, "", key({ key: " ", code: "Space" }))).toBe(true);
    expect(belongsToField("BUTTON", false, "", key({ key: "1", code: "Digit1" }))).toBe(false);
    expect(belongsToField("DIV", true, "", key({ key: "x" }))).toBe(true);
  });
});

describe("moved", () => {
  const ways = fc.constantFrom(
    ...(["left", "right", "up", "down", "page-up", "page-down", "home", "end", "row-start", "row-end"] as const),
  );
  test("the focus never leaves the list", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(),
        ways,
        (count, columns, rows, at, by) => {
          const to = moved(at % count, by, count, columns, rows);
          expect(to).toBeGreaterThanOrEqual(0);
          expect(to).toBeLessThan(count);
        },
      ),
    );
  });

  test("down from above a short last row goes to its last tile, and stays when in it", () => {
    expect(moved(9, "down", 12, 5, 4)).toBe(11);
    expect(moved(11, "down", 12, 5, 4)).toBe(11);
    expect(moved(2, "up", 12, 5, 4)).toBe(2);
  });
});
