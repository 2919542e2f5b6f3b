// Which tiles are selected, as ranges: selecting 48,210 tiles costs as much as selecting two.

/** A half-open range of indexes. */
export type Range = readonly [from: number, end: number];

export class Selection {
  #ranges: Range[] = [];
  /** Where a selection with Shift began. */
  anchor: number | null = null;

  get ranges(): readonly Range[] {
    return this.#ranges;
  }

  get size(): number {
    return this.#ranges.reduce((sum, [from, end]) => sum + end - from, 0);
  }

  has(index: number): boolean {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const [from, end] = this.#ranges[middle]!;
      if (index < from) high = middle;
      else if (index >= end) low = middle + 1;
      else return true;
    }
    return false;
  }

  clear(): void {
    this.#ranges = [];
    this.anchor = null;
  }

  add(from: number, end: number): void {
    if (end <= from) return;
    const before = this.#ranges.filter((r) => r[1] < from);
    const after = this.#ranges.filter((r) => r[0] > end);
    const touching = this.#ranges.filter((r) => r[1] >= from && r[0] <= end);
    const start = Math.min(from, ...touching.map((r) => r[0]));
    const stop = Math.max(end, ...touching.map((r) => r[1]));
    this.#ranges = [...before, [start, stop], ...after];
  }

  remove(from: number, end: number): void {
    if (end <= from) return;
    const kept: Range[] = [];
    for (const [a, b] of this.#ranges) {
      if (a < from) kept.push([a, Math.min(b, from)]);
      if (b > end) kept.push([Math.max(a, end), b]);
    }
    this.#ranges = kept.filter(([a, b]) => b > a);
  }

  toggle(index: number): void {
    if (this.has(index)) this.remove(index, index + 1);
    else this.add(index, index + 1);
    this.anchor = index;
  }

  /** Select what lies between the anchor (or `from`, when there is none) and `to`, both included, and nothing else. */
  extend(from: number, to: number): void {
    this.anchor ??= from;
    const anchor = this.anchor;
    this.#ranges = [[Math.min(anchor, to), Math.max(anchor, to) + 1]];
  }
}
