// Pixels of a row: one canvas below its cells, drawn once when its pictures are there, moved with the row and never redrawn.
//
// Compressed bytes are decoded off the main thread and the bitmap is closed as soon as it is drawn, so that memory holds the pixels of
// the window and nothing else. A picture that arrives after its row was given to others is thrown away.
import { GAP } from "../logic/geometry";

/** The largest rectangle of a picture's shape within a square, centred. */
export function fitted(width: number, height: number, edge: number): { x: number; y: number; w: number; h: number } {
  const scale = edge / Math.max(width, height, 1);
  const w = Math.max(1, Math.round(width * scale));
  const h = Math.max(1, Math.round(height * scale));
  return { x: Math.round((edge - w) / 2), y: Math.round((edge - h) / 2), w, h };
}

export class RowPainter {
  readonly canvas = document.createElement("canvas");
  #turn = 0;
  #drawn = new Set<number>();
  #tile = 0;
  #ratio = 1;

  constructor() {
    this.canvas.setAttribute("aria-hidden", "true");
    this.canvas.className = "pixels";
  }

  /** Take the size of a row. */
  resize(columns: number, tile: number, ratio: number): void {
    this.#tile = tile;
    this.#ratio = ratio;
    this.canvas.width = Math.round(columns * (tile + GAP) * ratio);
    this.canvas.height = Math.round(tile * ratio);
    this.canvas.style.width = `${columns * (tile + GAP)}px`;
    this.canvas.style.height = `${tile}px`;
    this.clear();
  }

  /** Remove all pixels, at once; pictures that are on their way are not drawn any more. */
  clear(): void {
    this.#turn++;
    if (this.#drawn.size === 0) return;
    this.#drawn.clear();
    this.canvas.getContext("2d")?.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  has(column: number): boolean {
    return this.#drawn.has(column);
  }

  /** Draw the picture of a column. A picture that cannot be decoded stays a placeholder. */
  async draw(column: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#drawn.has(column)) return;
    this.#drawn.add(column);
    const turn = this.#turn;
    let bitmap: ImageBitmap;
    try {
      bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    } catch {
      if (turn === this.#turn) this.#drawn.delete(column);
      return;
    }
    if (turn === this.#turn) this.#put(column, bitmap);
    bitmap.close();
  }

  #put(column: number, bitmap: ImageBitmap): void {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    const { x, y, w, h } = fitted(bitmap.width, bitmap.height, this.#tile);
    const r = this.#ratio;
    context.imageSmoothingEnabled = true;
    context.drawImage(
      bitmap,
      Math.round((column * (this.#tile + GAP) + x) * r),
      Math.round(y * r),
      Math.round(w * r),
      Math.round(h * r),
    );
  }
}
