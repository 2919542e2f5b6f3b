// Pixels beyond `protected` are shown only while a key is held, and for ten seconds at most.
//
// The shield knows time and keys, not pictures. It says what may be shown at each moment; whoever draws asks it, also after a picture
// has arrived late. Each showing is a reveal of its own: it is opened on the server before its pixels are fetched, and closed with the
// time that they were seen.

export type Level = "none" | "protected" | "drawing" | "small";

/** Levels that need a reveal. */
export type Revealed = "drawing" | "small";

const ORDER: readonly Level[] = ["none", "protected", "drawing", "small"];

export type HideCause = "released" | "limit" | "moved" | "blank" | "blur" | "hidden" | "idle";

/** What can be shown of a content: one step after the other from what its tile shows, up to the highest rendition there is. */
export function ladder(start: "none" | "protected", highest: Level): Level[] {
  const above = ORDER.slice(ORDER.indexOf(start) + 1, ORDER.indexOf(highest) + 1);
  return above.filter((level) => level !== "none");
}

export interface Showing {
  /** Number of this showing; a picture that arrives for another one is thrown away. */
  readonly turn: number;
  readonly index: number;
  readonly level: Level;
  readonly since: number;
}

export interface ShieldEvents {
  /** Begin to show: fetch, and draw if `allows(turn)` still holds. */
  show(showing: Showing): void;
  /** Stop showing, now: the pixels are removed before this returns. */
  hide(showing: Showing, cause: HideCause): void;
  /** Everything is to be blanked, or may be drawn again. */
  blank(on: boolean): void;
}

export class Shield {
  /** Longest time that one showing may ever have, milliseconds: the server counts no more either. */
  static readonly LIMIT = 10_000;
  blanked = false;
  #showing: Showing | null = null;
  #held = false;
  #turn = 0;
  #steps: Level[] = [];
  #step = 0;
  #active = 0;

  constructor(
    private readonly events: ShieldEvents,
    /** Milliseconds without a key or a movement after which all is blanked; 0 for never. */
    public idleAfter = 120_000,
    /** Longest time of one showing, milliseconds; never more than LIMIT. */
    public longest = Shield.LIMIT,
  ) {}

  get showing(): Showing | null {
    return this.#showing;
  }

  /** Whether pixels of this showing may be on the screen at this moment. */
  allows(turn: number): boolean {
    return !this.blanked && this.#showing?.turn === turn;
  }

  /** The key went down on a content with these levels. A key that is already held does nothing. */
  press(index: number, steps: Level[], now: number): void {
    this.touch(now);
    if (this.#held || this.blanked || steps.length === 0) return;
    this.#held = true;
    this.#steps = steps;
    this.#step = 0;
    this.#begin(index, now);
  }

  /** One step more, while the key is held. */
  step(now: number): void {
    this.touch(now);
    const showing = this.#showing;
    if (!this.#held || !showing || this.#step + 1 >= this.#steps.length) return;
    this.#end("released");
    this.#step++;
    this.#begin(showing.index, now);
  }

  /** The key went up. */
  release(now: number): void {
    this.touch(now);
    this.#held = false;
    this.#end("released");
  }

  /** The focus went to another content: what is shown is not of this one. The key must be pressed anew. */
  moved(): void {
    this.#end("moved");
  }

  /** The window lost the focus, or its tab was hidden: what was held counts as released. */
  leave(cause: "blur" | "hidden"): void {
    this.#held = false;
    this.#end(cause);
    if (cause === "hidden") this.#blank(true);
  }

  /** Blank everything at once, or bring the protected tiles back. */
  toggleBlank(now: number): void {
    this.touch(now);
    this.#held = false;
    this.#end("blank");
    this.#blank(!this.blanked);
  }

  unblank(now: number): void {
    this.touch(now);
    this.#blank(false);
  }

  /** A sign of life. */
  touch(now: number): void {
    this.#active = now;
  }

  /** To be called every quarter of a second or so. */
  tick(now: number): void {
    if (this.#showing && now - this.#showing.since >= Math.min(this.longest, Shield.LIMIT)) this.#end("limit");
    if (this.idleAfter > 0 && !this.blanked && now - this.#active >= this.idleAfter) {
      this.#held = false;
      this.#end("idle");
      this.#blank(true);
    }
  }

  #begin(index: number, now: number): void {
    this.#showing = { turn: ++this.#turn, index, level: this.#steps[this.#step]!, since: now };
    this.events.show(this.#showing);
  }

  #end(cause: HideCause): void {
    const showing = this.#showing;
    if (!showing) return;
    this.#showing = null;
    this.events.hide(showing, cause);
  }

  #blank(on: boolean): void {
    if (on === this.blanked) return;
    this.blanked = on;
    this.events.blank(on);
  }
}
