import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ladder, Shield, type Showing } from "../src/logic/shield";

function shield(idleAfter = 0) {
  const log: string[] = [];
  const shown: Showing[] = [];
  const made = new Shield(
    {
      show: (s) => {
        shown.push(s);
        log.push(`show ${s.level}`);
      },
      hide: (s, cause) => void log.push(`hide ${s.level} ${cause}`),
      blank: (on) => void log.push(on ? "blank" : "unblank"),
    },
    idleAfter,
  );
  return { shield: made, log, shown };
}

describe("ladder", () => {
  test("steps go from what the tile shows to the highest there is", () => {
    expect(ladder("protected", "small")).toEqual(["drawing", "small"]);
    expect(ladder("none", "small")).toEqual(["protected", "drawing", "small"]);
    expect(ladder("protected", "protected")).toEqual([]);
    expect(ladder("none", "none")).toEqual([]);
  });
});

describe("Shield", () => {
  test("shows only while held, step by step", () => {
    const { shield: s, log } = shield();
    s.press(3, ["drawing", "small"], 0);
    s.step(100);
    s.step(200);
    s.release(300);
    s.step(400);
    expect(log).toEqual(["show drawing", "hide drawing released", "show small", "hide small released"]);
  });

  test("ten seconds end it, and only a new press begins anew", () => {
    const { shield: s, log } = shield();
    s.press(3, ["drawing"], 0);
    s.tick(Shield.LIMIT - 1);
    s.tick(Shield.LIMIT);
    s.press(3, ["drawing"], Shield.LIMIT + 1);
    expect(log).toEqual(["show drawing", "hide drawing limit"]);
    s.release(Shield.LIMIT + 2);
    s.press(3, ["drawing"], Shield.LIMIT + 3);
    expect(log.at(-1)).toBe("show drawing");
  });

  test("losing the window, hiding the tab, moving on and blanking hide at once", () => {
    for (const leave of [
      (s: Shield) => s.leave("blur"),
      (s: Shield) => s.leave("hidden"),
      (s: Shield) => s.moved(),
      (s: Shield) => s.toggleBlank(5),
    ]) {
      const { shield: s, shown } = shield();
      s.press(3, ["small"], 0);
      expect(s.allows(shown[0]!.turn)).toBe(true);
      leave(s);
      expect(s.allows(shown[0]!.turn)).toBe(false);
    }
  });

  test("a picture that arrives after the release is not allowed", () => {
    const { shield: s, shown } = shield();
    s.press(3, ["small"], 0);
    s.release(10);
    s.press(4, ["small"], 20);
    expect(s.allows(shown[0]!.turn)).toBe(false);
    expect(s.allows(shown[1]!.turn)).toBe(true);
  });

  test("nothing is revealed while blanked; one key brings the tiles back", () => {
    const { shield: s, log } = shield();
    s.toggleBlank(0);
    s.press(1, ["small"], 1);
    s.toggleBlank(2);
    expect(log).toEqual(["blank", "unblank"]);
  });

  test("without a sign of life all is blanked", () => {
    const { shield: s, log } = shield(1000);
    s.press(1, ["small"], 0);
    s.tick(999);
    s.tick(1000);
    expect(log).toEqual(["show small", "hide small idle", "blank"]);
  });

  test("whatever happens, at most one thing is shown, each is hidden once, and none longer than the limit", () => {
    const acts = fc.array(
      fc.tuple(fc.constantFrom("press", "release", "step", "moved", "blur", "hidden", "blank", "tick"), fc.nat(4000)),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(acts, (list) => {
        let open: Showing | null = null;
        let now = 0;
        const s = new Shield(
          {
            show: (showing) => {
              expect(open).toBe(null);
              open = showing;
            },
            hide: (showing) => {
              expect(open).toBe(showing);
              open = null;
            },
            blank: () => expect(open).toBe(null),
          },
          0,
        );
        for (const [act, step] of list) {
          now += step;
          if (act === "press") s.press(1, ["drawing", "small"], now);
          else if (act === "release") s.release(now);
          else if (act === "step") s.step(now);
          else if (act === "moved") s.moved();
          else if (act === "blur" || act === "hidden") s.leave(act);
          else if (act === "blank") s.toggleBlank(now);
          s.tick(now);
          const still = open as Showing | null;
          if (still) expect(now - still.since).toBeLessThan(Shield.LIMIT);
          if (s.blanked) expect(still).toBe(null);
        }
      }),
    );
  });
});
