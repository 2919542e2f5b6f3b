// What an undo brings back on the screen at once, before the server has answered: the standing that each touched tile had.
export interface Before {
  index: number;
  category: string | null;
  mine: string | null;
  status: string;
}

export interface Done {
  key: string;
  view: string;
  /** Where the focus was: an undo goes back there. */
  focus: number;
  before: Before[];
  after: Before[];
}

/** The last decisions of this tab, newest last; older ones are undone by the server alone. */
export class History {
  #done: Done[] = [];
  #undone: Done[] = [];
  readonly #events = new Map<string, number>();
  constructor(private readonly limit = 500) {}

  push(done: Done): void {
    this.#done.push(done);
    this.#undone = [];
    if (this.#done.length > this.limit) this.#done.shift();
  }

  find(key: string | undefined): Done | undefined {
    return this.#done.find((d) => d.key === key) ?? this.#undone.find((d) => d.key === key);
  }

  /** The server has saved the order of this key as an event. */
  confirmed(key: string, event: number | null): void {
    if (event !== null) this.#events.set(key, event);
  }

  eventOf(key: string | undefined): number | undefined {
    return key === undefined ? undefined : this.#events.get(key);
  }

  /** Take the newest one for an undo. */
  undo(): Done | undefined {
    const done = this.#done.pop();
    if (done) this.#undone.push(done);
    return done;
  }

  /** Take the newest undone one for a redo. */
  redo(): Done | undefined {
    const done = this.#undone.pop();
    if (done) this.#done.push(done);
    return done;
  }

  /** Forget an order that never reached the server. */
  drop(key: string): void {
    this.#done = this.#done.filter((d) => d.key !== key);
    this.#undone = this.#undone.filter((d) => d.key !== key);
  }
}
