import { expect, test } from "vitest";
import { History } from "../src/logic/history";

const done = (key: string) => ({ key, view: "v", focus: 0, before: [], after: [] });

test("undo takes the newest, redo gives back the last undone, and a new decision ends redoing", () => {
  const history = new History();
  for (const key of ["a", "b", "c"]) history.push(done(key));
  expect([history.undo()?.key, history.undo()?.key, history.redo()?.key]).toEqual(["c", "b", "b"]);
  history.push(done("d"));
  expect([history.redo(), history.undo()?.key, history.undo()?.key, history.undo()?.key, history.undo()]).toEqual([
    undefined,
    "d",
    "b",
    "a",
    undefined,
  ]);
});

test("what was undone is still found by its key, with the event that the server gave it", () => {
  const history = new History();
  history.push(done("a"));
  history.confirmed("a", 7);
  history.undo();
  expect([history.find("a")?.key, history.eventOf("a"), history.eventOf("b"), history.find(undefined)]).toEqual([
    "a",
    7,
    undefined,
    undefined,
  ]);
});

test("what never reached the server is dropped, and only the last ones are kept", () => {
  const history = new History(2);
  for (const key of ["a", "b", "c"]) history.push(done(key));
  history.drop("c");
  expect([history.undo()?.key, history.undo()]).toEqual(["b", undefined]);
});
