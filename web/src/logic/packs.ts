// Loading of what the window needs: aligned chunks of rows and packs of 64 small pictures, in few requests, and none in a fling.

/** Pictures in a pack; packs begin at multiples of it. */
export const PACK = 64;

const MAGIC = 0x504b4c53; // "SLKP", little endian

/** The pictures of a pack as compressed bytes; null where there is none. Throws RangeError when the bytes contradict themselves. */
export function unpack(buffer: ArrayBuffer): (Uint8Array<ArrayBuffer> | null)[] {
  const view = new DataView(buffer);
  if (buffer.byteLength < 8 || view.getUint32(0, true) !== MAGIC) throw new RangeError("not a pack of pictures");
  const n = view.getUint32(4, true);
  if (n > PACK || buffer.byteLength < 8 + 4 * n) throw new RangeError(`a pack cannot hold ${n} pictures`);
  const pictures: (Uint8Array<ArrayBuffer> | null)[] = [];
  let at = 8 + 4 * n;
  for (let i = 0; i < n; i++) {
    const length = view.getUint32(8 + 4 * i, true);
    if (at + length > buffer.byteLength) throw new RangeError(`picture ${i} of a pack ends behind the pack`);
    pictures.push(length === 0 ? null : new Uint8Array(buffer, at, length));
    at += length;
  }
  if (at !== buffer.byteLength) throw new RangeError("bytes are left over behind a pack");
  return pictures;
}

/** Least recently used chunks by number, at most `limit` of them. */
export class Recent<T> {
  readonly #held = new Map<number, T>();
  constructor(readonly limit: number) {}

  get(key: number): T | undefined {
    const value = this.#held.get(key);
    if (value !== undefined) {
      this.#held.delete(key);
      this.#held.set(key, value);
    }
    return value;
  }

  has(key: number): boolean {
    return this.#held.has(key);
  }

  set(key: number, value: T): void {
    this.#held.delete(key);
    this.#held.set(key, value);
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= this.limit) break;
      this.#held.delete(oldest);
    }
  }

  delete(key: number): void {
    this.#held.delete(key);
  }

  clear(): void {
    this.#held.clear();
  }

  get size(): number {
    return this.#held.size;
  }

  *entries(): IterableIterator<[number, T]> {
    yield* this.#held.entries();
  }
}

/**
 * Whether to load at this moment. Nothing is loaded while the list runs at more than half a row a frame: what would be loaded is gone
 * before it arrives. Speed is measured over frames; a list that rests for REST milliseconds is slow.
 */
export class Pace {
  static readonly REST = 90;
  #y = 0;
  #fast = false;
  #movedAt = Number.NEGATIVE_INFINITY;

  /** A frame was drawn at `y`; `now` in milliseconds. */
  frame(y: number, pitch: number, now: number): void {
    const step = Math.abs(y - this.#y);
    this.#y = y;
    if (step > 0) {
      this.#movedAt = now;
      this.#fast = step > pitch / 2;
    }
  }

  mayLoad(now: number): boolean {
    return !this.#fast || now - this.#movedAt >= Pace.REST;
  }

  /** Whether nothing has moved for `ms` milliseconds. */
  rests(now: number, ms = Pace.REST): boolean {
    return now - this.#movedAt >= ms;
  }
}

export type Fetch<T> = (from: number, n: number, signal: AbortSignal) => Promise<T>;

/**
 * Chunks of `size` of a list of `count`, loaded once each, at most `parallel` at a time, dropped from the queue and aborted when they are
 * no longer wanted. A chunk that failed is tried again only when it is wanted anew after `RETRY` milliseconds.
 */
export class ChunkLoader<T> {
  static readonly RETRY = 3000;
  readonly chunks: Recent<T>;
  readonly #running = new Map<number, AbortController>();
  readonly #failed = new Map<number, number>();
  #wanted: number[] = [];
  requests = 0;
  onChunk: (chunk: number, value: T) => void = () => {};
  onError: (error: unknown) => void = () => {};

  constructor(
    readonly count: number,
    readonly size: number,
    private readonly fetch: Fetch<T>,
    limit: number,
    private readonly parallel = 3,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.chunks = new Recent(limit);
  }

  chunkOf(index: number): number {
    return Math.floor(index / this.size);
  }

  at(index: number): T | undefined {
    return this.chunks.get(this.chunkOf(index));
  }

  /** Ask for what covers [from, to); what was asked before and lies further than `keep` away is given up. */
  want(from: number, to: number, keep = 0): void {
    const first = this.chunkOf(Math.max(0, from));
    const last = this.chunkOf(Math.min(this.count, Math.max(from + 1, to)) - 1);
    for (const chunk of [...this.#running.keys()]) {
      if ((chunk + 1) * this.size <= from - keep || chunk * this.size >= to + keep) this.#abort(chunk);
    }
    this.#wanted = [];
    for (let chunk = first; chunk <= last && this.count > 0; chunk++) {
      const failedAt = this.#failed.get(chunk);
      if (failedAt !== undefined && this.now() - failedAt < ChunkLoader.RETRY) continue;
      if (!this.chunks.has(chunk) && !this.#running.has(chunk)) this.#wanted.push(chunk);
    }
    this.#next();
  }

  /** Forget what is loaded, so that it is fetched anew when wanted. */
  invalidate(): void {
    for (const chunk of [...this.#running.keys()]) this.#abort(chunk);
    this.chunks.clear();
    this.#failed.clear();
  }

  stop(): void {
    this.#wanted = [];
    for (const chunk of [...this.#running.keys()]) this.#abort(chunk);
  }

  /** Give a request up. It no longer counts as running, so that the chunk can be asked for again at once. */
  #abort(chunk: number): void {
    this.#running.get(chunk)?.abort();
    this.#running.delete(chunk);
  }

  #next(): void {
    while (this.#running.size < this.parallel) {
      const chunk = this.#wanted.shift();
      if (chunk === undefined) return;
      void this.#load(chunk);
    }
  }

  async #load(chunk: number): Promise<void> {
    const controller = new AbortController();
    this.#running.set(chunk, controller);
    const from = chunk * this.size;
    this.requests++;
    try {
      const value = await this.fetch(from, Math.min(this.size, this.count - from), controller.signal);
      if (controller.signal.aborted) return;
      this.#failed.delete(chunk);
      this.chunks.set(chunk, value);
      this.onChunk(chunk, value);
    } catch (error) {
      if (controller.signal.aborted) return;
      this.#failed.set(chunk, this.now());
      this.onError(error);
    } finally {
      if (this.#running.get(chunk) === controller) this.#running.delete(chunk);
      this.#next();
    }
  }
}
