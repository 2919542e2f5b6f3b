// Numbers, sizes and times in words, the same on every page.

const NUMBER = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function count(n: number): string {
  return NUMBER.format(n);
}

/** "1 content", "1,204 contents". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let power = 0;
  let value = n;
  while (value >= 1000 && power < units.length - 1) {
    value /= 1000;
    power++;
  }
  return `${SHORT.format(value)} ${units[power]}`;
}

/** "40 s", "12 min", "3 h 20 min", "2 d 4 h". */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A time of the server as people read it: `2016-05-17 10:10:00 UTC`; without a zone when it has none. */
export function moment(iso: string): string {
  const parts = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:\.\d+)?(Z|\+00:00)?$/.exec(iso);
  return parts ? `${parts[1]} ${parts[2]}${parts[3] ? " UTC" : ""}` : iso;
}

/** Black or white, whichever reads better on a colour `#rrggbb` (WCAG relative luminance). */
export function inkOn(colour: string): "#000000" | "#ffffff" {
  const parts = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour);
  if (!parts) return "#ffffff";
  const [r, g, b] = parts.slice(1).map((part) => {
    const v = Number.parseInt(part, 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) ? "#000000" : "#ffffff";
}

/** A whole number that a person typed, with the separators that people type; null when it is none. */
export function typedNumber(text: string): number | null {
  const plain = text.replace(/[\s,.'’_]/g, "");
  return /^\d{1,15}$/.test(plain) ? Number(plain) : null;
}
