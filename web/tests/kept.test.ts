import { describe, expect, test } from "vitest";
import { ApiError, type Client } from "../src/api/client";
import { type Private, type Query, START } from "../src/logic/query";
import { Words } from "../src/state/words";

const query = (filter: Query["filter"]): Query => ({ ...START, filter });

/** A server that keeps words in memory, or refuses. */
function server(refusal?: ApiError): { client: Client; asked: string[] } {
  const kept = new Map<string, Private>();
  const asked: string[] = [];
  const answer = (handle: string) => ({
    handle,
    words: kept.get(handle),
    similar_label: "A: cat.jpg",
    same_label: null,
    lost: "",
  });
  const client = {
    keepWords: async (words: Private) => {
      asked.push("keep");
      if (refusal) throw refusal;
      kept.set("k.abcdefgh", words);
      return answer("k.abcdefgh");
    },
    keptWords: async (handle: string) => {
      asked.push("restore");
      if (refusal) throw refusal;
      return answer(handle);
    },
  };
  return { client: client as unknown as Client, asked };
}

describe("words", () => {
  test("an entry of the history holds a name, and this tab what it means", () => {
    const words = new Words(server().client);
    const name = words.enter(query({ text: "kitchen", kind: ["image"] }));
    expect(name).not.toContain("kitchen");
    expect(words.entry(name)?.words).toEqual({ text: "kitchen" });
    expect(words.enter(query({ kind: ["image"] }))).toBe(null);
    expect(words.entry("another")).toBe(null);
    expect(words.entry(undefined)).toBe(null);
  });

  test("words that were kept are not kept again, and come back by their handle", async () => {
    const { client, asked } = server();
    const words = new Words(client);
    expect(await words.keep(query({ text: "kitchen" }))).toBe("k.abcdefgh");
    expect(words.handle(query({ text: "kitchen", kind: ["video"] }))).toBe("k.abcdefgh");
    expect(words.handle(query({ text: "garden" }))).toBe(null);
    const other = new Words(client);
    const found = await other.restore("k.abcdefgh");
    expect(found).toMatchObject({
      words: { text: "kitchen" },
      labels: { similar: "A: cat.jpg" },
      said: null,
      known: true,
    });
    expect(other.handle(query({ text: "kitchen" }))).toBe("k.abcdefgh");
    expect(asked).toEqual(["keep", "restore"]);
  });

  test("an unknown handle is told from a server that does not answer", async () => {
    const unknown = await new Words(server(new ApiError(404, "unknown-filter", "not kept", "type")).client).restore(
      "k.x",
    );
    expect(unknown).toMatchObject({ words: {}, known: false, said: { message: "not kept", todo: "type" } });
    const silent = await new Words(server(new ApiError(0, "unreachable", "no answer", "look")).client).restore("k.x");
    expect(silent).toMatchObject({ words: {}, known: true, said: { message: "no answer" } });
  });
});
