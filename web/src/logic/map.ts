// The piece of the world that the map shows, in plain degrees (equirectangular: a degree is as wide as it is high everywhere).
import type { Place } from "./query";

export type Frame = Readonly<Place>;
export type Point = [x: number, y: number];

/** All longitudes; north and south as far as people live. */
export const WORLD: Frame = { south: -62, west: -180, north: 84, east: 180 };

const NARROWEST = 0.5;

export function zoomed(frame: Frame, factor: number): Frame {
  const x = (frame.west + frame.east) / 2;
  const y = (frame.south + frame.north) / 2;
  const w = ((frame.east - frame.west) / 2) * factor;
  const h = ((frame.north - frame.south) / 2) * factor;
  return { south: y - h, west: x - w, north: y + h, east: x + w };
}

/** A frame of the shape `aspect` (width / height), no wider than the world, no narrower than NARROWEST degrees, within ±180 and ±90. */
export function bounded(frame: Frame, aspect: number): Frame {
  const width = Math.min(360, Math.max(NARROWEST, frame.east - frame.west));
  const height = Math.min(180, width / aspect);
  const x = Math.min(180 - width / 2, Math.max(-180 + width / 2, (frame.west + frame.east) / 2));
  const y = Math.min(90 - height / 2, Math.max(-90 + height / 2, (frame.south + frame.north) / 2));
  return { south: y - height / 2, west: x - width / 2, north: y + height / 2, east: x + width / 2 };
}

/** The frame that shows the whole of a place, with some room around it. */
export function around(place: Place, aspect: number): Frame {
  const middle = zoomed(place, 1.4);
  const width = Math.max(middle.east - middle.west, (middle.north - middle.south) * aspect, 2);
  const x = (middle.west + middle.east) / 2;
  return bounded({ ...middle, west: x - width / 2, east: x + width / 2 }, aspect);
}

/** The place between two corners, as [longitude, latitude], rounded to about a kilometre, within the world. */
export function boxOf(a: Point, b: Point): Place {
  const round = (v: number, limit: number) => Math.round(Math.min(limit, Math.max(-limit, v)) * 100) / 100;
  return {
    south: round(Math.min(a[1], b[1]), 90),
    west: round(Math.min(a[0], b[0]), 180),
    north: round(Math.max(a[1], b[1]), 90),
    east: round(Math.max(a[0], b[0]), 180),
  };
}
