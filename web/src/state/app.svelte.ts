// The page as a whole: who is signed in, on which case, and where in it.
import { Client, inWords } from "../api/client";
import type { CaseAnswer, Progress, SessionAnswer, Settings } from "../api/contract";
import { decode, encode, type Private, privatePart, type Query, START } from "../logic/query";

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
  /** What the live region says. */
  spoken = $state("");
  /** Whether the system asks for dark colours now: what is drawn on a canvas is drawn anew then. */
  dark = $state(false);
  /** Tiles that a fresh view of what is shown would add. */
  waiting = $state(0);
  /** The view that the progress is asked for. */
  currentView: string | null = null;
  #timer = 0;

  constructor() {
    this.client.onSignedOut = () => {
      if (this.phase === "ready") this.phase = "signed-out";
    };
    window.addEventListener("popstate", () => {
      if (TOKEN.test(location.hash)) void this.start();
      else this.query = decode(location.hash, (history.state as { kept?: Private } | null)?.kept);
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
      this.query = decode(location.hash, (history.state as { kept?: Private } | null)?.kept);
      this.trouble = null;
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
    const query = { ...this.query, ...change };
    const state = { kept: privatePart(query.filter) };
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
