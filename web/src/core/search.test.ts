import { expect, test } from "vitest";
import { fits, moved, plain } from "./search";

test("accents, case and ß do not part words", () => {
	expect(plain("Größe ÜBER Straße")).toBe("grosse uber strasse");
});

test("every word typed begins a word", () => {
	expect(fits("Kündigung der Wohnung", "wohn kund")).toBe(true);
	expect(fits("Kündigung der Wohnung", "ohnung")).toBe(false);
	expect(fits("Kündigung", "")).toBe(true);
	expect(fits("Kündigung", "kündigung frist")).toBe(false);
});

test("the marked row goes round", () => {
	expect(moved(-1, 1, 3)).toBe(0);
	expect(moved(-1, -1, 3)).toBe(2);
	expect(moved(2, 1, 3)).toBe(0);
	expect(moved(0, -1, 3)).toBe(2);
	expect(moved(0, 1, 0)).toBe(-1);
});
