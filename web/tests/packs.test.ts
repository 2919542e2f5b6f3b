import { describe, expect, test, vi } from "vitest";
import { ChunkLoader, Pace, Recent, unpack } from "../src/logic/packs";

function pack(lengths: number[], extra = 0): ArrayBuffer {
  const body = lengths.reduce((a, b) => a + b, 0);
  const buffer = new ArrayBuffer(8 + 4 * lengths.length + body + extra);
  const view = new DataView(buffer);
  view.setUint32(0, 0x504b4c53, true);
  view.setUint32(4, lengths.length, true);
  lengths.forEach((n, i) => void view.setUint32(8 + 4 * i, n, true));
  return buffer;
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("unpack", () => {
  test("pictures come out with their lengths, none as null", () => {
    expect(unpack(pack([3, 0, 5])).map((b) => b?.length ?? null)).toEqual([3, null, 5]);
  });

  test("bytes that contradict themselves are refused", () => {
    const long = pack([3]);
    new DataView(long).setUint32(8, 4, true);
    for (const bad of [new ArrayBuffer(4), pack([1], 1), long, pack(new Array(65).fill(0))])
      expect(() => unpack(bad)).toThrow(RangeError);
  });
});

describe("Recent", () => {
  test("the one that was not used for longest goes first", () => {
    const recent = new Recent<string>(2);
    recent.set(1, "a");
    recent.set(2, "b");
    recent.get(1);
    recent.set(3, "c");
    expect([recent.has(1), recent.has(2), recent.has(3)]).toEqual([true, false, true]);
  });
});

describe("Pace", () => {
  test("nothing is loaded above half a row a frame, and again after a rest", () => {
    const pace = new Pace();
    pace.frame(100, 190, 0);
    pace.frame(196, 190, 16);
    expect(pace.mayLoad(16)).toBe(false);
    pace.frame(196, 190, 32);
    expect(pace.mayLoad(32)).toBe(false);
    expect(pace.mayLoad(16 + Pace.REST)).toBe(true);
    pace.frame(286, 190, 200);
    expect(pace.mayLoad(200)).toBe(true);
  });
});

describe("ChunkLoader", () => {
  test("each chunk is fetched once, aligned, with a short last one", async () => {
    const fetch = vi.fn(async (from: number, n: number) => `${from}+${n}`);
    const loader = new ChunkLoader(130, 64, fetch, 10);
    loader.want(60, 130);
    loader.want(60, 130);
    await settled();
    expect(fetch.mock.calls.map((c) => c.slice(0, 2))).toEqual([
      [0, 64],
      [64, 64],
      [128, 2],
    ]);
    expect(loader.at(129)).toBe("128+2");
  });

  test("what is far from the window is aborted and not kept", async () => {
    const signals: AbortSignal[] = [];
    const loader = new ChunkLoader(10_000, 64, (_f, _n, signal) => new Promise(() => signals.push(signal)), 10);
    loader.want(0, 64);
    loader.want(6400, 6464, 640);
    expect(signals.map((s) => s.aborted)).toEqual([true, false]);
  });

  test("what was given up on its way is asked for anew at once, and the old answer is not taken", async () => {
    const answers: ((value: string) => void)[] = [];
    const loader = new ChunkLoader<string>(64, 64, () => new Promise((done) => answers.push(done)), 10);
    loader.want(0, 64);
    loader.invalidate();
    loader.want(0, 64);
    expect(answers.length).toBe(2);
    answers[0]?.("old");
    await settled();
    expect(loader.at(0)).toBe(undefined);
    answers[1]?.("new");
    await settled();
    expect(loader.at(0)).toBe("new");
  });

  test("a chunk that failed is not asked for again at once, and is later", async () => {
    let now = 0;
    const fetch = vi.fn(() => Promise.reject(new Error("gone")));
    const loader = new ChunkLoader(64, 64, fetch, 10, 3, () => now);
    const errors = vi.fn();
    loader.onError = errors;
    loader.want(0, 64);
    await settled();
    loader.want(0, 64);
    expect(fetch).toHaveBeenCalledTimes(1);
    now = ChunkLoader.RETRY;
    loader.want(0, 64);
    expect(fetch).toHaveBeenCalledTimes(2);
    await settled();
    expect(errors).toHaveBeenCalledTimes(2);
  });

  test("never more requests at a time than allowed, and never more chunks than the limit", async () => {
    let running = 0;
    let most = 0;
    const loader = new ChunkLoader(
      64 * 20,
      64,
      async () => {
        most = Math.max(most, ++running);
        await settled();
        running--;
        return 1;
      },
      5,
      2,
    );
    loader.want(0, 64 * 20);
    while (loader.requests < 20) await settled();
    await settled();
    expect(most).toBe(2);
    expect(loader.chunks.size).toBe(5);
  });
});
