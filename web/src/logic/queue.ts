// Decisions on their way to the server.
//
// A decision is painted at once and saved in the background, in order. Each has a key made here: sent twice, it counts once. A request that
// fails stops the queue: what was not saved is painted back, kept, and said; nothing is sent on top of it until a person says
// "again" or "discard". Unsent ones stand in the session storage of this tab, so that a reload does not lose them; an entry there
// holds the key, positions in the view and the code, and nothing of the evidence.

export type Target =
  | { index: number; whole_stack?: boolean }
  | { indexes: number[]; whole_stack?: boolean }
  | { ranges: [number, number][]; whole_stack?: boolean }
  | { all: true; whole_stack?: boolean }
  | { folder_of: number; whole_stack?: boolean };

export interface Changes {
  category?: string | null;
  note?: string;
  add_tags?: string[];
  remove_tags?: string[];
  add_flags?: string[];
  remove_flags?: string[];
  /** Each content gets the category that a set proposes for it. */
  accept_proposal?: boolean;
}

export type Order =
  | { do: "decide"; key: string; view: string; target: Target; set: Changes; confirm?: string }
  /** `of` is the key of the decision that is undone; without it the last one of this person is. */
  | { do: "undo"; key: string; of?: string }
  | { do: "redo"; key: string; event?: number };

export interface Standing {
  index: number;
  category: string | null;
  mine: string | null;
  status: string;
}

export interface Answer {
  event: number | null;
  contents: number;
  standing?: Standing[];
  undecided?: number;
  indexes_of_view?: number[] | null;
}

export interface Sender {
  /**
   * Save in order; resolves to as many answers, an Error for each that was refused. Rejects when nothing of it is known to be saved.
   */
  decide(orders: Extract<Order, { do: "decide" }>[]): Promise<(Answer | Error)[]>;
  undo(order: Extract<Order, { do: "undo" }>): Promise<Answer>;
  redo(order: Extract<Order, { do: "redo" }>): Promise<Answer>;
}

/** The part of Storage that is used. */
export interface Shelf {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

export type QueueState = "saved" | "saving" | "stopped";

export interface QueueEvents {
  /** Saved, durably. */
  saved(order: Order, answer: Answer): void;
  /** Not saved: paint back what it had changed. Called for the last order first. */
  repaint(order: Order): void;
  /** Sent again after a stop: paint once more. */
  paint(order: Order): void;
  changed(state: QueueState, waiting: number, error: unknown): void;
}

const SHELF = "safelight.unsent";

/** Most decisions in one request. */
export const BATCH = 200;

export class DecisionQueue {
  #waiting: Order[] = [];
  #sending = false;
  #error: unknown = null;
  #stopped = false;

  constructor(
    private readonly sender: Sender,
    private readonly events: QueueEvents,
    private readonly shelf: Shelf,
  ) {}

  get state(): QueueState {
    return this.#stopped ? "stopped" : this.#waiting.length > 0 ? "saving" : "saved";
  }

  get waiting(): readonly Order[] {
    return this.#waiting;
  }

  /** Take an order and send it when its turn comes. False when the queue stands still: nothing is taken then. */
  add(order: Order): boolean {
    if (this.#stopped) return false;
    this.#waiting.push(order);
    this.#keep();
    this.events.paint(order);
    this.#changed();
    void this.#send();
    return true;
  }

  /** Take up what an earlier load of the page had not sent. Returns how many orders those are. */
  resume(): number {
    const kept = parseOrders(this.shelf.getItem(SHELF));
    this.#waiting.push(...kept);
    if (kept.length > 0) {
      this.#changed();
      void this.#send();
    }
    return kept.length;
  }

  /** Send again what was not saved. */
  again(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#error = null;
    for (const order of this.#waiting) this.events.paint(order);
    this.#changed();
    void this.#send();
  }

  /** Give up what was not saved; it is painted back already. */
  discard(): void {
    if (!this.#stopped) return;
    this.#waiting = [];
    this.#stopped = false;
    this.#error = null;
    this.#keep();
    this.#changed();
  }

  async #send(): Promise<void> {
    if (this.#sending || this.#stopped) return;
    this.#sending = true;
    try {
      while (this.#waiting.length > 0 && !this.#stopped) await this.#sendNext();
    } finally {
      this.#sending = false;
    }
  }

  async #sendNext(): Promise<void> {
    const first = this.#waiting[0]!;
    const orders: Order[] = first.do === "decide" ? leading(this.#waiting) : [first];
    try {
      const answers = await this.#ask(first, orders);
      if (answers.length !== orders.length)
        throw new Error(`the server answered ${answers.length} of ${orders.length} decisions`);
      for (const [i, order] of orders.entries()) {
        const answer = answers[i]!;
        // what came behind a refusal is sent again with its key: saved or not, it counts once
        if (answer instanceof Error) throw answer;
        this.#waiting.shift();
        this.events.saved(order, answer);
      }
      this.#keep();
      this.#changed();
    } catch (error) {
      this.#keep();
      this.#stopped = true;
      this.#error = error;
      for (const order of [...this.#waiting].reverse()) this.events.repaint(order);
      this.#changed();
    }
  }

  async #ask(first: Order, orders: Order[]): Promise<(Answer | Error)[]> {
    if (first.do === "undo") return [await this.sender.undo(first)];
    if (first.do === "redo") return [await this.sender.redo(first)];
    return this.sender.decide(orders.filter((o) => o.do === "decide"));
  }

  #keep(): void {
    // Storage may be full or forbidden: then a reload asks the person before it happens (App.svelte).
    try {
      if (this.#waiting.length === 0) this.shelf.removeItem(SHELF);
      else this.shelf.setItem(SHELF, JSON.stringify(this.#waiting));
    } catch {
      /* kept in memory only */
    }
  }

  #changed(): void {
    this.events.changed(this.state, this.#waiting.length, this.#error);
  }
}

/** The decisions that lead the queue, at most a batch. */
function leading(orders: readonly Order[]): Order[] {
  const end = orders.findIndex((order) => order.do !== "decide");
  return orders.slice(0, Math.min(BATCH, end < 0 ? orders.length : end));
}

/** Orders from storage; what is not one is left out. */
export function parseOrders(text: string | null): Order[] {
  if (!text) return [];
  try {
    const found: unknown = JSON.parse(text);
    if (!Array.isArray(found)) return [];
    return found.filter(
      (o): o is Order =>
        typeof o === "object" &&
        o !== null &&
        typeof o.key === "string" &&
        (o.do === "undo" || o.do === "redo" || (o.do === "decide" && typeof o.view === "string")),
    );
  } catch {
    return [];
  }
}

/** A key for an order: random, never a digest of what it is about. */
export function newKey(): string {
  return crypto.randomUUID();
}
