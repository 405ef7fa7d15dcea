import { expect, test } from "vitest";
import { Announcer, speakable } from "./announce";

test("says whole sentences once, and the rest at the end", () => {
	const a = new Announcer();
	expect(a.next("Hallo We", false)).toBe("");
	expect(a.next("Hallo Welt. Wie g", false)).toBe("Hallo Welt.");
	expect(a.next("Hallo Welt. Wie geht es? Gut", false)).toBe("Wie geht es?");
	expect(a.next("Hallo Welt. Wie geht es? Gut so", true)).toBe("Gut so");
	expect(a.next("Hallo Welt. Wie geht es? Gut so", true)).toBe("");
});
test("goes on after text was taken back", () => {
	const a = new Announcer();
	a.next("One. Two. ", false);
	expect(a.next("One. ", false)).toBe("");
	expect(a.next("One. Three.", true)).toBe("Three.");
});
test("reads no signs aloud", () => {
	expect(speakable("## Title\n- **a** `b`\n| x | y |\n|---|---|\n```js\n[l](https://x)")).toBe("Title a b x y l");
});
