// Where a rectangle of a picture lies within the square that the picture is fitted into.

export interface Rect {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** A rectangle as shares of a picture (left, top, width, height) in per cent of the square; `picture` is the picture within it, in pixels. */
export function within(square: number, picture: Rect, box: readonly number[]): Rect | null {
  const [left, top, width, height] = box;
  if (left === undefined || top === undefined || width === undefined || height === undefined) return null;
  const share = (at: number, of: number, from: number) => (100 * (from + Math.min(Math.max(at, 0), 1) * of)) / square;
  const x = share(left, picture.w, picture.x);
  const y = share(top, picture.h, picture.y);
  return { x, y, w: share(left + width, picture.w, picture.x) - x, h: share(top + height, picture.h, picture.y) - y };
}
