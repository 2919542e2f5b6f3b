// What the actions of the key map do on the desk.
import type { Action } from "../logic/keymap";
import { conditions, type Relation } from "../logic/query";
import type { App } from "./app.svelte";
import type { Desk } from "./desk.svelte";
import type { Revealer } from "./revealer.svelte";

export type Sheet = "keys" | "go" | "note" | "tag" | "flags";

export interface Hands {
  app: App;
  desk: Desk;
  revealer: Revealer;
  open(sheet: Sheet): void;
  panel(): void;
}

/** Do what a key asks for. False when there was nothing to do, and the browser may have the key. */
export function act(action: Action, hands: Hands): boolean {
  const { app, desk, revealer } = hands;
  switch (action.kind) {
    case "decide":
      return decide(action.digit, action.stay, hands);
    case "clear":
      desk.decide({ category: null }, "Category taken away", true);
      return true;
    case "move":
      desk.move(action.by, action.extend);
      if (app.query.item !== null) app.go({ item: desk.focus }, true);
      return true;
    case "reveal":
      revealer.press();
      return true;
    case "step":
      revealer.step();
      return true;
    case "blank":
      revealer.shield.toggleBlank(performance.now());
      return true;
    case "undo":
      desk.undo();
      return true;
    case "redo":
      desk.redo();
      return true;
    case "select":
      desk.toggleSelected();
      return true;
    case "select-all":
      desk.selectAll();
      return true;
    case "clear-selection":
      desk.clearSelection();
      return true;
    case "open":
      app.go({ item: app.query.item === null ? desk.focus : null });
      return true;
    case "fresh":
      if (app.waiting > 0) void desk.open(app.query, true);
      return true;
    case "panel":
      hands.panel();
      return true;
    case "find":
      document.getElementById("find")?.focus();
      return true;
    case "similar":
      return relate("similar", hands);
    case "folder":
    case "stack":
      return relate(action.kind, hands);
    case "keys":
    case "go":
    case "note":
    case "tag":
    case "flags":
      hands.open(action.kind);
      return true;
  }
}

function decide(digit: number, stay: boolean, { app, desk }: Hands): boolean {
  const category = app.about?.scheme.categories.find((c) => c.key === String(digit));
  if (!category) {
    app.say(`No category on ${digit}. The key sheet (question mark) shows those there are.`);
    return true;
  }
  desk.decide({ category: category.code }, `${category.code} ${category.label}`, stay);
  if (app.query.item !== null && desk.selected === 0) app.go({ item: desk.focus }, true);
  return true;
}

/** Show what is related to the focused tile as a list of its own; Back returns. */
export function relate(what: "similar" | Relation, { app, desk }: Pick<Hands, "app" | "desk">): boolean {
  const view = desk.list?.view.view;
  if (!view || desk.list?.count === 0) return false;
  const filter =
    what === "similar"
      ? { similar_to: { view, index: desk.focus, distance: 31 } }
      : { same: { view, index: desk.focus, what } };
  // where Back leads to
  app.go({ item: desk.focus }, true);
  app.go({
    page: "review",
    shape: "grid",
    filter,
    stacked: what === "similar" || what === "folder" || what === "camera",
    item: null,
  });
  return true;
}

/** Whether the list is narrowed by hand. */
export function narrowed(app: App): boolean {
  return conditions(app.query.filter) > 0;
}
