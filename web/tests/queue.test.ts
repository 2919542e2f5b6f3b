import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Answer,
  BATCH,
  DecisionQueue,
  type Order,
  parseOrders,
  type QueueEvents,
  type Sender,
} from "../src/logic/queue";

class Shelf {
  held = new Map<string, string>();
  getItem = (name: string) => this.held.get(name) ?? null;
  setItem = (name: string, value: string) => void this.held.set(name, value);
  removeItem = (name: string) => void this.held.delete(name);
}

/** A server that saves each key once, and loses requests or answers when told. */
class Server implements Sender {
  saved: string[] = [];
  batches: number[] = [];
  fault: () => "ask" | "answer" | null = () => null;
  async #take(keys: string[]): Promise<Answer[]> {
    const fault = this.fault();
    await Promise.resolve();
    if (fault === "ask") throw new Error("no connection");
    for (const key of keys) if (!this.saved.includes(key)) this.saved.push(key);
    if (fault === "answer") throw new Error("connection lost");
    this.batches.push(keys.length);
    return keys.map((key) => ({ event: this.saved.indexOf(key), contents: 1 }));
  }
  decide = (orders: { key: string }[]) => this.#take(orders.map((o) => o.key));
  undo = async (order: { key: string }) => (await this.#take([order.key]))[0]!;
  redo = async (order: { key: string }) => (await this.#take([order.key]))[0]!;
}

const decide = (key: string): Order => ({ do: "decide", key, view: "v", target: { index: 1 }, set: { category: "1" } });
const settled = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 0));
};

function setting(server = new Server(), shelf = new Shelf()) {
  const log: string[] = [];
  const events: QueueEvents = {
    saved: (o) => void log.push(`saved ${o.key}`),
    repaint: (o) => void log.push(`repaint ${o.key}`),
    paint: (o) => void log.push(`paint ${o.key}`),
    changed: () => {},
  };
  return { queue: new DecisionQueue(server, events, shelf), server, shelf, log };
}

describe("DecisionQueue", () => {
  test("a decision is painted before it is saved, and what waits goes in one request", async () => {
    const { queue, log, server } = setting();
    for (const key of ["a", "b", "c"]) queue.add(decide(key));
    expect(log).toEqual(["paint a", "paint b", "paint c"]);
    await settled();
    expect(server.saved).toEqual(["a", "b", "c"]);
    expect(server.batches).toEqual([1, 2]);
    expect(queue.state).toBe("saved");
  });

  test("an undo keeps its place between decisions", async () => {
    const { queue, server } = setting();
    queue.add(decide("a"));
    queue.add({ do: "undo", key: "u" });
    queue.add(decide("b"));
    await settled();
    expect(server.saved).toEqual(["a", "u", "b"]);
  });

  test("a failed request paints back all that was not saved, last first, and stops the queue", async () => {
    const { queue, server, log, shelf } = setting();
    server.fault = () => "ask";
    queue.add(decide("a"));
    queue.add(decide("b"));
    await settled();
    expect(log).toEqual(["paint a", "paint b", "repaint b", "repaint a"]);
    expect([queue.state, queue.waiting.length, queue.add(decide("c"))]).toEqual(["stopped", 2, false]);
    expect(parseOrders([...shelf.held.values()][0]!).map((o) => o.key)).toEqual(["a", "b"]);
    server.fault = () => null;
    queue.again();
    await settled();
    expect(server.saved).toEqual(["a", "b"]);
    expect(shelf.held.size).toBe(0);
  });

  test("an answer that got lost saves nothing twice", async () => {
    const { queue, server } = setting();
    let first = true;
    server.fault = () => {
      const fault = first ? "answer" : null;
      first = false;
      return fault;
    };
    queue.add(decide("a"));
    await settled();
    expect(queue.state).toBe("stopped");
    queue.again();
    await settled();
    expect(server.saved).toEqual(["a"]);
  });

  test("a reload in the middle sends what was not sent", async () => {
    const shelf = new Shelf();
    const before = setting(new Server(), shelf);
    before.server.fault = () => "ask";
    before.queue.add(decide("a"));
    await settled();
    const after = setting(new Server(), shelf);
    expect(after.queue.resume()).toBe(1);
    await settled();
    expect(after.server.saved).toEqual(["a"]);
  });

  test("discarding forgets what was not saved", async () => {
    const { queue, server, shelf } = setting();
    server.fault = () => "ask";
    queue.add(decide("a"));
    await settled();
    queue.discard();
    server.fault = () => null;
    queue.add(decide("b"));
    await settled();
    expect(server.saved).toEqual(["b"]);
    expect(shelf.held.size).toBe(0);
  });

  test("a refusal within a request stops there; what was saved before it stays saved", async () => {
    const { queue, server, log } = setting();
    let refuse = true;
    const plain = server.decide;
    server.decide = async (orders) => {
      const answers: (Answer | Error)[] = await plain(orders.filter((o) => !(refuse && o.key === "c")));
      if (refuse && orders.some((o) => o.key === "c"))
        answers.splice(
          orders.findIndex((o) => o.key === "c"),
          0,
          new Error("refused"),
        );
      return answers as Answer[];
    };
    for (const key of ["a", "b", "c", "d"]) queue.add(decide(key));
    await settled();
    expect(queue.waiting.map((o) => o.key)).toEqual(["c", "d"]);
    expect(log.slice(-2)).toEqual(["repaint d", "repaint c"]);
    refuse = false;
    queue.again();
    await settled();
    expect([...server.saved].sort()).toEqual(["a", "b", "c", "d"]);
    expect(queue.state).toBe("saved");
  });

  test("no request holds more than a batch", async () => {
    const { queue, server } = setting();
    for (let i = 0; i < 2 * BATCH + 7; i++) queue.add(decide(`k${i}`));
    await settled();
    expect(Math.max(...server.batches)).toBeLessThanOrEqual(BATCH);
    expect(server.saved.length).toBe(2 * BATCH + 7);
  });

  test("whatever connection does, after trying again every decision is saved once and in order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("ask", "answer", null), { maxLength: 8 }),
        fc.integer({ min: 1, max: 12 }),
        async (faults, n) => {
          const { queue, server } = setting();
          const left = [...faults];
          server.fault = () => (left.shift() ?? null) as "ask" | "answer" | null;
          const keys: string[] = [];
          for (let i = 0; i < n; i++) {
            const key = `k${i}`;
            while (!queue.add(decide(key))) queue.again();
            keys.push(key);
            await Promise.resolve();
          }
          for (let i = 0; i < 12 && queue.state !== "saved"; i++) {
            await settled();
            queue.again();
          }
          expect(server.saved).toEqual(keys);
        },
      ),
      { numRuns: 25 },
    );
  });

  test("what is kept for a reload holds keys, positions and codes only", async () => {
    const { queue, shelf, server } = setting();
    server.fault = () => "ask";
    queue.add(decide("a"));
    expect(JSON.parse([...shelf.held.values()][0]!)).toEqual([
      { do: "decide", key: "a", view: "v", target: { index: 1 }, set: { category: "1" } },
    ]);
  });

  test("a spoilt shelf is an empty one", () => {
    for (const text of [null, "", "{", "[1, null, {}]", '{"do": "decide"}']) expect(parseOrders(text)).toEqual([]);
  });
});
