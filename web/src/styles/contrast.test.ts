import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

/* WCAG 2.2, 1.4.3 and 1.4.11, computed from the tokens of both themes. */
const css = readFileSync(join(import.meta.dirname, "tokens.css"), "utf8");
function theme(selector: string): Map<string, string> {
	const at = css.indexOf(`${selector} {`);
	const body = css.slice(at, css.indexOf("\n}", at));
	return new Map([...body.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6});/g)].map((m) => [m[1] ?? "", m[2] ?? ""]));
}
function luminance(hex: string): number {
	const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => {
		const c = parseInt(hex.slice(i, i + 2), 16) / 255;
		return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
	});
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(a: string, b: string): number {
	const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
	return ((x ?? 0) + 0.05) / ((y ?? 0) + 0.05);
}
const SURFACES = ["bg", "bg-side", "bg-raised", "bg-sunken", "bubble"];
const PAIRS: Array<[string, string, number]> = [
	...["text", "text-2", "text-3", "accent-ink"].flatMap((t) => SURFACES.map((s): [string, string, number] => [t, s, 4.5])),
	...["code-keyword", "code-string", "code-number", "code-comment", "code-name"].map((t): [string, string, number] => [t, "code-bg", 4.5]),
	["accent-text", "accent", 4.5],
	["accent-text", "accent-hover", 4.5],
	["accent-ink", "accent-soft", 4.5],
	["warn-text", "warn-bg", 4.5],
	["bad-text", "bad-bg", 4.5],
	["bad-text", "bg-raised", 4.5],
	["bad", "bg-raised", 4.5],
	["good", "good-bg", 4.5],
	["focus", "bg", 3],
	["focus", "bg-side", 3],
	["focus", "bg-raised", 3],
];

describe.each([
	["light", ":root"],
	["dark", ':root[data-theme="dark"]'],
])("%s", (_name, selector) => {
	const colours = theme(selector);
	test.each(PAIRS)("%s on %s has at least %s:1", (front, back, least) => {
		const [f, b] = [colours.get(front), colours.get(back)];
		expect(f && b, `${front} and ${back} are defined`).toBeTruthy();
		expect(contrast(f ?? "", b ?? "")).toBeGreaterThanOrEqual(least);
	});
});
