// The one door to the server: JSON, the cookie of this port, and the token that each change needs.
import type { Filter, Private } from "../logic/query";
import type { Changes, Target } from "../logic/queue";
import type {
  CaseAnswer,
  DecisionAnswer,
  ExportAnswer,
  ExposureAnswer,
  ExposureSums,
  Facets,
  ItemAnswer,
  Kept,
  Mine,
  PlacesAnswer,
  Preview,
  ProblemsAnswer,
  Progress,
  Refusal,
  Rows,
  ServerFilter,
  SessionAnswer,
  Settings,
  TimelineAnswer,
  UndoAnswer,
  ViewAnswer,
} from "./contract";

/** What the server refused, or that it could not be reached (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly todo: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** Held by the type check: a filter of the page is one that the server knows. */
export const asServerFilter = (filter: Filter): Partial<ServerFilter> => filter;

export type Decide = { key: string; view: string; target: Target; set: Changes; confirm?: string };

export class Client {
  #csrf = "";
  /** Called when the session has ended. */
  onSignedOut: () => void = () => {};

  // session
  async signIn(token: string): Promise<SessionAnswer> {
    return this.#remember(await this.#post<SessionAnswer>("/api/session", { token }));
  }
  async session(): Promise<SessionAnswer> {
    return this.#remember(await this.#get<SessionAnswer>("/api/session"));
  }
  signOut = () => this.#post<unknown>("/api/session/end", {});

  // case and settings
  case = () => this.#get<CaseAnswer>("/api/case");
  settings = () => this.#get<Settings>("/api/settings");
  saveSettings = (settings: Settings) => this.#post<Settings>("/api/settings", settings);
  progress = (view: string | null) =>
    this.#get<Progress>(`/api/progress${view ? `?view=${encodeURIComponent(view)}` : ""}`);

  // words of filters
  keepWords = (words: Private) => this.#post<Kept>("/api/filters", words);
  keptWords = (handle: string) => this.#get<Kept>(`/api/filters/${encodeURIComponent(handle)}`);

  // views
  makeView = (filter: Filter, order: string | null, stacked: boolean, signal?: AbortSignal) =>
    this.#post<ViewAnswer>("/api/views", order ? { filter, order, stacked } : { filter, stacked }, signal);
  view = (view: string) => this.#get<ViewAnswer>(`/api/views/${encodeURIComponent(view)}`);
  rows = (view: string, from: number, n: number, signal?: AbortSignal) =>
    this.#get<Rows>(`/api/views/${encodeURIComponent(view)}/rows?from=${from}&n=${n}`, signal);
  item = (view: string, index: number, signal?: AbortSignal) =>
    this.#get<ItemAnswer>(`/api/views/${encodeURIComponent(view)}/items/${index}`, signal);
  async thumbs(view: string, from: number, n: number, signal?: AbortSignal): Promise<ArrayBuffer> {
    return (
      await this.#send("GET", `/api/views/${encodeURIComponent(view)}/thumbs?from=${from}&n=${n}`, undefined, signal)
    ).arrayBuffer();
  }

  // reveals
  reveal = (view: string, index: number, level: string, reason?: string) =>
    this.#post<{ reveal: string | number }>(
      "/api/reveals",
      reason ? { view, index, level, reason } : { view, index, level },
    );
  async picture(reveal: string | number): Promise<Blob> {
    return (await this.#send("GET", `/api/reveals/${encodeURIComponent(reveal)}/picture`)).blob();
  }
  endReveal = (reveal: string | number, milliseconds: number) =>
    this.#post<unknown>(
      `/api/reveals/${encodeURIComponent(reveal)}/end`,
      { milliseconds: Math.round(milliseconds) },
      undefined,
      true,
    );

  // decisions
  preview = (view: string, target: Target) => this.#post<Preview>("/api/decisions/preview", { view, target });
  decide = (decision: Decide) => this.#post<DecisionAnswer>("/api/decisions", decision);
  decideBatch = (decisions: Decide[]) => this.#post<(DecisionAnswer | Refusal)[]>("/api/decisions/batch", decisions);
  undo = (key: string, view?: string, event?: number) =>
    this.#post<UndoAnswer>("/api/decisions/undo", defined({ key, view, event }));
  redo = (key: string, view?: string, event?: number) =>
    this.#post<UndoAnswer>("/api/decisions/redo", defined({ key, view, event }));
  mine = (n = 50) => this.#get<Mine[]>(`/api/decisions/mine?n=${n}`);

  // find
  facets = (filter: Filter, facets: string[], stacked: boolean, signal?: AbortSignal) =>
    this.#post<Facets>("/api/facets", { filter, facets, stacked }, signal);
  timeline = (filter: Filter, bins: number, signal?: AbortSignal) =>
    this.#post<TimelineAnswer>("/api/timeline", { filter, bins }, signal);
  places = (filter: Filter, cells: number, signal?: AbortSignal) =>
    this.#post<PlacesAnswer>("/api/places", { filter, cells }, signal);
  problems = (kind: string | null, from: number, n: number) =>
    this.#get<ProblemsAnswer>(`/api/problems?from=${from}&n=${n}${kind ? `&kind=${encodeURIComponent(kind)}` : ""}`);

  // exposure and exports
  exposure = () => this.#get<ExposureAnswer>("/api/exposure");
  takeBreak = () => this.#post<unknown>("/api/exposure/break", {});
  exposureSums = () => this.#get<ExposureSums[]>("/api/exposure/sums");
  export = (format: string, filter?: Filter) =>
    this.#post<ExportAnswer>("/api/exports", filter ? { format, filter } : { format });

  #remember(answer: SessionAnswer): SessionAnswer {
    this.#csrf = answer.csrf;
    return answer;
  }

  async #get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return (await this.#send("GET", path, undefined, signal)).json() as Promise<T>;
  }

  async #post<T>(path: string, body: unknown, signal?: AbortSignal, keepalive = false): Promise<T> {
    const response = await this.#send("POST", path, body, signal, keepalive);
    const text = await response.text();
    return (text ? JSON.parse(text) : null) as T;
  }

  async #send(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
    keepalive = false,
  ): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json" };
    if (method === "POST") {
      headers["Content-Type"] = "application/json";
      if (this.#csrf) headers["X-Safelight-CSRF"] = this.#csrf;
    }
    const init: RequestInit = {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      keepalive,
    };
    if (body !== undefined) init.body = JSON.stringify(body);
    if (signal) init.signal = signal;
    let response: Response;
    try {
      response = await fetch(path, init);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(
        0,
        "unreachable",
        "The server does not answer.",
        "Look whether `safelight serve` is still running. What was saved is safe.",
      );
    }
    if (response.ok) return response;
    const problem = await refusal(response);
    if (response.status === 401) this.onSignedOut();
    throw problem;
  }
}

/** The object without what is undefined. */
function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

async function refusal(response: Response): Promise<ApiError> {
  let said: { error?: string; message?: string; todo?: string } = {};
  try {
    said = (await response.json()) as typeof said;
  } catch {
    /* no JSON: a server that is going down, or a proxy */
  }
  const message = said.message ?? `The server answered ${response.status}.`;
  return new ApiError(
    response.status,
    said.error ?? String(response.status),
    message,
    said.todo ?? "Try again. What was saved is safe.",
  );
}

/** An error in words: what happened and what to do. */
export function inWords(error: unknown): { message: string; todo: string } {
  if (error instanceof ApiError) return { message: error.message, todo: error.todo };
  return {
    message: error instanceof Error ? error.message : String(error),
    todo: "Reload the page. What was saved is safe.",
  };
}
