// Reveals: opened on the server before the pixels come, drawn only while the shield allows it, closed with the time they were seen.
import { ApiError, inWords } from "../api/client";
import { type HideCause, type Level, ladder, Shield, type Showing } from "../logic/shield";
import type { App } from "./app.svelte";
import type { Desk } from "./desk.svelte";

interface Open {
  reveal: string | number;
  shownAt: number | null;
}

export class Revealer {
  readonly shield: Shield;
  blanked = $state(false);
  level = $state<Level | null>(null);
  /** What is said in place of the picture. */
  note = $state("");
  /** The focused content is known to be illegal: looking needs a reason. */
  asksReason = $state(false);
  /** Where pixels go; set by the component. */
  canvas: HTMLCanvasElement | null = null;
  /** Changes with each reveal that has ended. */
  ended = $state(0);
  #reason: { index: number; view: string; text: string } | null = null;
  readonly #open = new Map<number, Open>();

  constructor(
    private readonly app: App,
    private readonly desk: Desk,
  ) {
    this.shield = new Shield({
      show: (showing) => void this.#show(showing),
      hide: (showing, cause) => this.#hide(showing, cause),
      blank: (on) => {
        this.blanked = on;
        desk.grid?.blank(on);
        app.say(on ? "Blanked. Press Escape or B to come back." : "Tiles are shown again.");
      },
    });
  }

  /** The key or the button is held. */
  press(): void {
    const { row } = this.desk;
    if (!row || !this.app.settings) {
      this.app.say("This one is still being loaded. Press again to look.");
      return;
    }
    const steps = ladder(this.app.settings.start_level, row.level as Level);
    if (steps.length === 0) {
      this.app.say(row.missing ? `No picture: ${row.missing}` : "There is no picture beyond the one of the tile.");
      return;
    }
    if (row.known === "illegal" && !this.#reasonFor(row.index)) {
      this.asksReason = true;
      return;
    }
    this.shield.press(row.index, steps, performance.now());
  }

  step = () => this.shield.step(performance.now());
  release = () => this.shield.release(performance.now());

  giveReason(text: string): void {
    const view = this.desk.list?.view.view;
    this.asksReason = false;
    if (view && text.trim()) this.#reason = { index: this.desk.focus, view, text: text.trim() };
    this.app.say("Hold Space to look.");
  }

  #reasonFor(index: number): string | undefined {
    const given = this.#reason;
    return given && given.index === index && given.view === this.desk.list?.view.view ? given.text : undefined;
  }

  async #show(showing: Showing): Promise<void> {
    this.level = showing.level;
    this.note = "";
    const list = this.desk.list;
    if (!list) return;
    try {
      if (showing.level === "protected") {
        const bytes = list.picture(showing.index);
        if (bytes) await this.#draw(showing, new Blob([bytes], { type: "image/jpeg" }));
        return;
      }
      const reason = this.#reasonFor(showing.index);
      const { reveal } = await this.app.client.reveal(list.view.view, showing.index, showing.level, reason);
      const open: Open = { reveal, shownAt: null };
      if (!this.shield.allows(showing.turn)) return this.#close(open);
      this.#open.set(showing.turn, open);
      const picture = await this.app.client.picture(reveal);
      await this.#draw(showing, picture);
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) this.asksReason = true;
      if (this.shield.allows(showing.turn)) this.note = inWords(error).message;
    }
  }

  async #draw(showing: Showing, picture: Blob): Promise<void> {
    const bitmap = await createImageBitmap(picture);
    const { canvas } = this;
    if (canvas && this.shield.allows(showing.turn)) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
      const open = this.#open.get(showing.turn);
      if (open) open.shownAt = performance.now();
    }
    bitmap.close();
  }

  #hide(showing: Showing, cause: HideCause): void {
    const { canvas } = this;
    // setting the size empties a canvas at once
    if (canvas) canvas.width = canvas.height = 0;
    this.level = null;
    this.note = "";
    const open = this.#open.get(showing.turn);
    this.#open.delete(showing.turn);
    if (open) this.#close(open);
    if (cause === "limit") this.app.say("Hidden after the longest time of a reveal. Press Space again to look again.");
  }

  #close(open: Open): void {
    const seen = open.shownAt === null ? 0 : performance.now() - open.shownAt;
    // when the end does not reach the server, it counts the longest time: an error here loses nothing
    this.app.client.endReveal(open.reveal, Math.max(0, seen)).then(
      () => this.ended++,
      () => {},
    );
  }
}
