// Which key does what. Digits are read by the place of the key (AZERTY needs Shift for them), letters by what the layout gives.

export type Action =
  | { kind: "decide"; digit: number; stay: boolean }
  | { kind: "clear"; stay: boolean }
  | {
      kind: "move";
      by: "left" | "right" | "up" | "down" | "page-up" | "page-down" | "home" | "end" | "row-start" | "row-end";
      extend: boolean;
    }
  | { kind: "reveal" }
  | { kind: "step" }
  | {
      kind:
        | "undo"
        | "redo"
        | "note"
        | "tag"
        | "flags"
        | "select"
        | "select-all"
        | "clear-selection"
        | "open"
        | "keys"
        | "find"
        | "go"
        | "blank"
        | "similar"
        | "folder"
        | "stack"
        | "fresh"
        | "panel";
    };

/** The part of a KeyboardEvent that matters. */
export interface Key {
  readonly key: string;
  readonly code: string;
  readonly shiftKey: boolean;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
  readonly repeat: boolean;
}

const MOVES: Record<string, Extract<Action, { kind: "move" }>["by"]> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  PageUp: "page-up",
  PageDown: "page-down",
  Home: "home",
  End: "end",
};

const LETTERS: Record<string, Action> = {
  n: { kind: "note" },
  t: { kind: "tag" },
  f: { kind: "flags" },
  x: { kind: "select" },
  b: { kind: "blank" },
  g: { kind: "go" },
  s: { kind: "similar" },
  d: { kind: "folder" },
  k: { kind: "stack" },
  r: { kind: "fresh" },
  p: { kind: "panel" },
  u: { kind: "undo" },
};

/** The digit of a key, wherever the layout puts digits; null for other keys. */
export function digitOf(code: string): number | null {
  const found = /^(?:Digit|Numpad)([0-9])$/.exec(code);
  return found ? Number(found[1]) : null;
}

/** What a key does in the grid; null when it does nothing there, and the browser may have it. */
export function actionOf(event: Key): Action | null {
  if (event.altKey || event.metaKey) return null;
  if (event.ctrlKey) return controlAction(event);
  if (event.code === "Space") return event.repeat ? null : { kind: "reveal" };
  if (event.key === "Shift") return event.repeat ? null : { kind: "step" };
  if (event.key === "Escape") return { kind: "blank" };
  if (event.key in MOVES) return { kind: "move", by: MOVES[event.key]!, extend: event.shiftKey };
  if (event.repeat) return null; // a key that is held decides once
  const digit = digitOf(event.code);
  if (digit !== null) return { kind: "decide", digit, stay: event.shiftKey };
  switch (event.key) {
    case "Backspace":
      return { kind: "undo" };
    case "Delete":
      return { kind: "clear", stay: true };
    case "Enter":
      return { kind: "open" };
    case "?":
      return { kind: "keys" };
    case "/":
      return { kind: "find" };
  }
  return LETTERS[event.key.toLowerCase()] ?? null;
}

function controlAction(event: Key): Action | null {
  if (event.repeat && event.key !== "Home" && event.key !== "End") return null;
  switch (event.key.toLowerCase()) {
    case "z":
      return { kind: event.shiftKey ? "redo" : "undo" };
    case "y":
      return { kind: "redo" };
    case "a":
      return { kind: event.shiftKey ? "clear-selection" : "select-all" };
    case "home":
      return { kind: "move", by: "home", extend: event.shiftKey };
    case "end":
      return { kind: "move", by: "end", extend: event.shiftKey };
  }
  return null;
}

/** Whether a key belongs to what has the focus: a field that is written in, or a control that Space and Enter work. */
export function belongsToField(tag: string, editable: boolean, type: string, event: Key): boolean {
  if (editable) return true;
  const name = tag.toLowerCase();
  if (name === "textarea" || name === "select") return true;
  if (name === "input" && !["checkbox", "radio", "button"].includes(type)) return true;
  const control = name === "button" || name === "a" || name === "input" || name === "summary";
  return control && (event.code === "Space" || event.key === "Enter");
}

/** Where the focus goes from `index`. Columns hold at the edges; the list ends at both ends. */
export function moved(
  index: number,
  by: Extract<Action, { kind: "move" }>["by"],
  count: number,
  columns: number,
  rowsInSight: number,
): number {
  const page = Math.max(1, rowsInSight - 1) * columns;
  const to = {
    left: index - 1,
    right: index + 1,
    up: index - columns < 0 ? index : index - columns,
    down: index + columns < count ? index + columns : downFromLastFull(index, count, columns),
    "page-up": index - page < 0 ? index % columns : index - page,
    "page-down": index + page < count ? index + page : downFromLastFull(index, count, columns),
    home: 0,
    end: count - 1,
    "row-start": index - (index % columns),
    "row-end": Math.min(count - 1, index - (index % columns) + columns - 1),
  }[by];
  return Math.min(Math.max(0, to), Math.max(0, count - 1));
}

function downFromLastFull(index: number, count: number, columns: number): number {
  const lastRow = Math.floor((count - 1) / columns);
  const inColumn = lastRow * columns + (index % columns);
  return Math.floor(index / columns) === lastRow ? index : Math.min(count - 1, inColumn);
}
