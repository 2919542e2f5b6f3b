// Words of filters that stand in no address: this tab's own memory of them, and the server's, which survives a reload.
//
// An entry of the history holds a number of this tab and, in its address, the server's handle. Going back finds the words by the number;
// a reload, a bookmark and another tab find them by the handle. Neither the address nor the entry ever holds a word.
import { ApiError, type Client, inWords } from "../api/client";
import type { Kept } from "../api/contract";
import { hasPrivate, type Private, privatePart, type Query } from "../logic/query";

/** What is known of the words of a query, beside the words: which pictures its relations mean. */
export interface Labels {
  similar: string | null;
  same: string | null;
}

export interface Found {
  words: Private;
  labels: Labels;
  /** What the person must be told: that words are not known here, or that a part was left out. */
  said: { message: string; todo: string } | null;
  known: boolean;
}

interface Entry {
  words: Private;
  labels: Labels;
}

export const NO_LABELS: Labels = { similar: null, same: null };
/** Entries of this tab that are remembered. */
const MOST = 500;

export class Words {
  readonly #entries = new Map<string, Entry>();
  readonly #handles = new Map<string, { handle: string; labels: Labels }>();

  constructor(private readonly client: Client) {}

  /** A name for an entry of the history that holds these words, to be put into its state; null where there are none. */
  enter(query: Query): string | null {
    if (!hasPrivate(query.filter)) return null;
    const name = crypto.randomUUID();
    this.#entries.set(name, { words: privatePart(query.filter), labels: this.labels(query) });
    if (this.#entries.size > MOST) this.#entries.delete(this.#entries.keys().next().value as string);
    return name;
  }

  /** What this tab remembers of an entry. */
  entry(name: string | null | undefined): Entry | null {
    return (name && this.#entries.get(name)) || null;
  }

  /** The handle of a filter's words, if this tab has asked for it already. */
  handle(query: Query): string | null {
    return this.#handles.get(plain(query))?.handle ?? null;
  }

  labels(query: Query): Labels {
    return this.#handles.get(plain(query))?.labels ?? NO_LABELS;
  }

  /** Let the server keep the words of a query; the handle. */
  async keep(query: Query): Promise<string> {
    const name = plain(query);
    const kept = await this.client.keepWords(privatePart(query.filter));
    this.#handles.set(name, { handle: kept.handle, labels: labelsOf(kept) });
    return kept.handle;
  }

  /** The words of a handle; where the server does not know it, none, and what to say. */
  async restore(handle: string): Promise<Found> {
    try {
      const kept = await this.client.keptWords(handle);
      const words = privatePart(kept.words as Private);
      this.#handles.set(JSON.stringify(words), { handle, labels: labelsOf(kept) });
      const said = kept.lost ? { message: kept.lost, todo: "The rest of the filter works." } : null;
      return { words, labels: labelsOf(kept), said, known: true };
    } catch (error) {
      const known = !(error instanceof ApiError && error.status === 404);
      return { words: {}, labels: NO_LABELS, said: inWords(error), known };
    }
  }
}

function plain(query: Query): string {
  return JSON.stringify(privatePart(query.filter));
}

function labelsOf(kept: Kept): Labels {
  return { similar: kept.similar_label, same: kept.same_label };
}
