// The logical position of a scroll box that is lower than what it shows.
//
// Near both ends a physical pixel is a logical one; the middle is stretched. Wheel and touch move the logical position pixel by
// pixel wherever they are, the scroll bar moves it in proportion. So the two drift apart, and are put together again when the hand
// rests, or at once where the box has no room left: nobody hits a wall in the middle of the list.
import { clampPosition, type Geometry, lastPosition } from "./geometry";

/** Stretch of plain pixels at both ends, as a share of the box. */
const END_SHARE = 0.05;

/** A jump by more than this many windows is never the wheel. */
const JUMP = 4;

function ends(g: Geometry): { room: number; end: number; length: number } {
  const room = g.physical - g.viewport;
  return { room, end: Math.floor(room * END_SHARE), length: lastPosition(g) };
}

/** Logical position of a physical one, strictly growing. */
export function toLogical(g: Geometry, top: number): number {
  const { room, end, length } = ends(g);
  if (length <= room) return clampPosition(g, top);
  if (top <= end) return Math.max(0, top);
  if (top >= room - end) return Math.min(length, length - (room - top));
  return end + ((top - end) * (length - 2 * end)) / (room - 2 * end);
}

/** Physical position of a logical one: the inverse of toLogical, to the nearest pixel. */
export function toPhysical(g: Geometry, y: number): number {
  const { room, end, length } = ends(g);
  if (length <= room) return Math.round(clampPosition(g, y));
  if (y <= end) return Math.round(Math.max(0, y));
  if (y >= length - end) return Math.round(room - (length - Math.min(y, length)));
  return Math.round(end + ((y - end) * (room - 2 * end)) / (length - 2 * end));
}

export class Scroll {
  /** Logical position, CSS pixels. */
  y = 0;
  #g: Geometry;
  #top = 0;

  constructor(g: Geometry) {
    this.#g = g;
  }

  /** Take a new geometry and the logical position that goes with it; returns where to put the box. */
  resize(g: Geometry, y: number): number {
    this.#g = g;
    return this.moveTo(y);
  }

  /** Go to a logical position; returns where to put the box. */
  moveTo(y: number): number {
    this.y = clampPosition(this.#g, y);
    this.#top = toPhysical(this.#g, this.y);
    return this.#top;
  }

  /**
   * The box was scrolled to `top`, by wheel or touch (`relative`) or by its bar.
   * Returns where the box must be put at once because it has no room left, or null.
   */
  onScroll(top: number, relative: boolean): number | null {
    const step = top - this.#top;
    if (step === 0) return null;
    this.#top = top;
    const small = Math.abs(step) < JUMP * this.#g.viewport;
    if (relative && small && this.#g.logical > this.#g.physical) {
      this.y = clampPosition(this.#g, this.y + step);
      return this.#stuck(top) ? this.anchor() : null;
    }
    this.y = toLogical(this.#g, top);
    return null;
  }

  /** Put box and logical position together again; returns where to put the box, or null when they agree. */
  anchor(): number | null {
    const top = toPhysical(this.#g, this.y);
    if (Math.abs(top - this.#top) < 1) return null;
    this.#top = top;
    return top;
  }

  #stuck(top: number): boolean {
    const room = this.#g.physical - this.#g.viewport;
    return (top <= 0 && this.y > 0) || (top >= room - 1 && this.y < lastPosition(this.#g));
  }
}
