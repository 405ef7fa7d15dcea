import { expect, test } from "vitest";
import { StickyRule } from "./sticky";

test("follows growth, lets go when scrolled up, takes hold at the end", () => {
	const r = new StickyRule();
	expect(r.moved({ top: 500, height: 500, full: 1000 })).toBe(true);
	expect(r.moved({ top: 500, height: 500, full: 1600 })).toBe(true); /* only the content grew */
	expect(r.moved({ top: 1100, height: 500, full: 1600 })).toBe(true);
	expect(r.moved({ top: 900, height: 500, full: 1600 })).toBe(false);
	expect(r.moved({ top: 950, height: 500, full: 1900 })).toBe(false);
	expect(r.moved({ top: 1390, height: 500, full: 1900 })).toBe(true);
});
test("a smaller window or shorter text is not a person scrolling", () => {
	const r = new StickyRule();
	r.moved({ top: 500, height: 500, full: 1000 });
	expect(r.moved({ top: 300, height: 400, full: 900 })).toBe(true);
});
