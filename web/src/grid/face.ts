// What a tile says beside its pixels. Pure: from a row of the server to the words, the mark and the spoken label.

export interface Mark {
  /** Code of the category, with "?" when it is only proposed and "≠" when it is disputed. */
  readonly text: string;
  readonly colour: string;
  readonly ink: string;
}

export interface Face {
  /** The line below the picture. */
  readonly caption: string;
  /** Short words in the corner: how many in the stack, film, deleted … */
  readonly chip: string;
  readonly mark: Mark | null;
  /** final, indicative, proposed, disputed, undecided */
  readonly status: string;
  readonly known: string;
  /** Why there is no picture; empty when there is one. */
  readonly missing: string;
  /** What a screen reader says. */
  readonly label: string;
}

/** Put a face into a cell; nothing is touched that is the same. */
export function wear(cell: HTMLElement, face: Face | null): void {
  const line = cell.firstElementChild as HTMLElement;
  put(cell, "chip", face?.chip ?? "");
  put(cell, "mark", face?.mark?.text ?? "");
  put(cell, "status", face?.status ?? "");
  put(cell, "known", face?.known ?? "");
  wearMissing(cell, face?.missing ?? "");
  const caption = face?.caption ?? "";
  if (line.textContent !== caption) line.textContent = caption;
  const colour = face?.mark?.colour ?? "";
  if (cell.dataset.colour !== colour) {
    cell.dataset.colour = colour;
    cell.style.setProperty("--mark", colour);
    cell.style.setProperty("--ink", face?.mark?.ink ?? "");
  }
}

/** The reason why there is no picture: an element that is there only then. */
function wearMissing(cell: HTMLElement, reason: string): void {
  const had = cell.querySelector("em");
  if (!reason) {
    had?.remove();
    return;
  }
  const element = had ?? document.createElement("em");
  if (!had) cell.append(element);
  // the space parts it from the line below for what reads all of the tile's text
  const text = ` ${reason}`;
  if (element.textContent !== text) element.textContent = text;
}

function put(element: HTMLElement, name: string, value: string): void {
  if ((element.dataset[name] ?? "") === value) return;
  if (value) element.dataset[name] = value;
  else delete element.dataset[name];
}
