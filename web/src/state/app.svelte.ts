// The page as a whole: who is signed in, on which case, and where in it.
import { Client, inWords } from "../api/client";
import type { CaseAnswer, Progress, SessionAnswer, Settings } from "../api/contract";
import { decode, encode, hasPrivate, type Query, START } from "../logic/query";
import { type Labels, NO_LABELS, Words } from "./words";

export interface Trouble {
  message: string;
  todo: string;
}

/** A one-time token in the part of the address behind '#'. */
const TOKEN = /^#token=([A-Za-z0-9_~.-]+)$/;

const POLL = 2000;

export class App {
  readonly client = new Client();
  phase = $state<"starting" | "signed-out" | "ready" | "failed">("starting");
  session = $state.raw<SessionAnswer | null>(null);
  about = $state.raw<CaseAnswer | null>(null);
  settings = $state.raw<Settings | null>(null);
  query = $state.raw<Query>(START);
  progress = $state.raw<Progress | null>(null);
  trouble = $state.raw<Trouble | null>(null);
  /** Which pictures the relations of the filter mean. */
  labels = $state.raw<Labels>(NO_LABELS);
  /** What the live region says. */
  spoken = $state("");
  /** Whether the system asks for dark colours now: what is drawn on a canvas is drawn anew then. */
  dark = $state(false);
  /** Tiles that a fresh view of what is shown would add. */
  waiting = $state(0);
  /** The view that the progress is asked for. */
  currentView: string | null = null;
  readonly #words = new Words(this.client);
  #timer = 0;
  /** Grows with each way to another place: what arrives later for an earlier one is too late. */
  #step = 0;

  constructor() {
    this.client.onSignedOut = () => {
      if (this.phase === "ready") this.phase = "signed-out";
    };
    window.addEventListener("popstate", () => {
      if (TOKEN.test(location.hash)) void this.start();
      else void this.#arrive();
    });
    document.addEventListener("visibilitychange", () => this.#poll());
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.dark = dark.matches;
    dark.addEventListener("change", () => (this.dark = dark.matches));
  }

  async start(): Promise<void> {
    const token = TOKEN.exec(location.hash)?.[1];
    // the token leaves the address before anything else happens
    if (token) history.replaceState(null, "", encode(START));
    try {
      this.session = token ? await this.client.signIn(token) : await this.client.session();
      const [about, settings] = await Promise.all([this.client.case(), this.client.settings()]);
      this.about = withPlainColours(about);
      this.settings = settings as Settings;
      this.trouble = null;
      await this.#arrive();
      this.phase = "ready";
      this.#poll();
    } catch (error) {
      this.trouble = inWords(error);
      this.phase =
        (error as { status?: number }).status === 401 || (error as { status?: number }).status === 403
          ? "signed-out"
          : "failed";
      if (this.phase === "signed-out" && !token) this.trouble = null;
    }
  }

  /** Go to another place; `replace` without a new entry in the history. */
  go(change: Partial<Query>, replace = false): void {
    const query: Query = { ...this.query, ...change, kept: null };
    if (hasPrivate(query.filter)) query.kept = this.#words.handle(query);
    this.#step++;
    this.#write(query, replace);
    this.labels = this.#words.labels(query);
    if (hasPrivate(query.filter) && !query.kept) void this.#keep(query);
  }

  /** Show what the address says, with the words that this tab or the server remembers. */
  async #arrive(): Promise<void> {
    const step = ++this.#step;
    const mine = this.#words.entry((history.state as { entry?: string } | null)?.entry);
    const query = decode(location.hash, mine?.words);
    if (mine || !query.kept) {
      this.query = mine && !query.kept ? { ...query, kept: this.#words.handle(query) } : query;
      this.labels = mine ? this.#words.labels(query) : NO_LABELS;
      if (mine && !this.query.kept) void this.#keep(query);
      return;
    }
    const found = await this.#words.restore(query.kept);
    if (step !== this.#step) return;
    const whole = decode(location.hash, found.words);
    // an address that promises words which there are none of would mislead whoever keeps it
    this.#write(found.known ? whole : { ...whole, kept: null }, true);
    this.labels = found.labels;
    this.trouble = found.said;
  }

  /** Let the server keep the words of a place, and put its handle into the address if that place is still shown. */
  async #keep(query: Query): Promise<void> {
    const step = this.#step;
    try {
      const kept = await this.#words.keep(query);
      if (step !== this.#step) return;
      this.#write({ ...this.query, kept }, true);
      this.labels = this.#words.labels(query);
    } catch (error) {
      if (step !== this.#step) return;
      const { message } = inWords(error);
      this.trouble = {
        message: `The words of this filter could not be kept: ${message}`,
        todo: "It works until the page is loaded again.",
      };
    }
  }

  #write(query: Query, replace: boolean): void {
    const entry = this.#words.enter(query);
    const state = entry ? { entry } : null;
    if (replace) history.replaceState(state, "", encode(query));
    else history.pushState(state, "", encode(query));
    this.query = query;
  }

  say(text: string): void {
    this.spoken = text;
  }

  failed(error: unknown): void {
    if ((error as Error | null)?.name === "AbortError") return;
    this.trouble = inWords(error);
  }

  async saveSettings(change: Partial<Settings>): Promise<void> {
    if (!this.settings) return;
    const before = this.settings;
    this.settings = { ...before, ...change };
    try {
      const saved = await this.client.saveSettings(this.settings);
      if (saved) this.settings = saved;
    } catch (error) {
      this.settings = before;
      this.failed(error);
    }
  }

  /** Numbers of the case anew, after decisions or new results. */
  async recount(): Promise<void> {
    try {
      this.about = withPlainColours(await this.client.case());
    } catch (error) {
      this.failed(error);
    }
  }

  async signOut(): Promise<void> {
    try {
      await this.client.signOut();
    } finally {
      this.phase = "signed-out";
      this.trouble = null;
    }
  }

  #poll(): void {
    clearTimeout(this.#timer);
    if (document.hidden || this.phase !== "ready") return;
    void this.#ask();
  }

  async #ask(): Promise<void> {
    const view = this.currentView;
    try {
      const was = this.progress;
      this.progress = await this.client.progress(view);
      this.waiting = view === this.currentView && view ? (this.progress.new[view] ?? 0) : 0;
      if (was?.running && !this.progress.running) void this.recount();
    } catch {
      // the next decision or window will say so; a strip that blinks helps nobody
    }
    this.#timer = window.setTimeout(() => this.#poll(), POLL);
  }
}

/** Schemes name colours as they like ("orange"); the page reckons with `#rrggbb`. What is no colour becomes grey. */
function withPlainColours(about: CaseAnswer): CaseAnswer {
  const pen = document.createElement("canvas").getContext("2d");
  for (const category of about.scheme.categories) {
    if (!pen) break;
    pen.fillStyle = "#6b6460";
    pen.fillStyle = category.colour;
    category.colour = String(pen.fillStyle);
  }
  return about;
}

/** What of a settings' theme the root element carries. */
export function applyTheme(theme: Settings["theme"]): void {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
