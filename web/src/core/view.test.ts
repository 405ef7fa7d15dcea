import { describe, expect, test } from "vitest";
import { MarkdownView } from "./view";

const LABELS = { copy: "Copy", code: "Code" };
function rig() {
	const root = document.createElement("div");
	return { root, view: new MarkdownView(root, LABELS) };
}
const TEXT = "Hallo **Welt**\n\n- a\n- b\n\n```js\nlet x = 1;\n```\n\nEnde.";

describe("MarkdownView", () => {
	test("streamed and drawn at once look the same", () => {
		const whole = rig();
		whole.view.update(TEXT, true);
		for (const step of [1, 3, 8]) {
			const r = rig();
			for (let n = step; n < TEXT.length; n += step) r.view.update(TEXT.slice(0, n), false);
			r.view.update(TEXT, true);
			expect(r.root.innerHTML).toBe(whole.root.innerHTML);
		}
		expect(whole.root.querySelector(".c-keyword")?.textContent).toBe("let");
	});

	test("closed blocks keep their elements", () => {
		const r = rig();
		r.view.update("one\n\ntwo", false);
		const first = r.root.children[0];
		const inner = first?.firstChild;
		r.view.update("one\n\ntwo three\n\nfour", false);
		expect(r.root.children[0]).toBe(first);
		expect(r.root.children[0]?.firstChild).toBe(inner);
		expect(r.root.children).toHaveLength(3);
	});

	test("a rewind starts afresh and loses nothing", () => {
		const r = rig();
		r.view.update("one\n\ntwo\n\nthree", false, 0);
		r.view.update("one\n\ntw", false, 1);
		expect(r.root.textContent?.replace(/\s+/g, " ").trim()).toBe("one tw");
		r.view.update("one\n\ntwig", true, 1);
		expect(r.root.textContent?.replace(/\s+/g, " ").trim()).toBe("one twig");
	});

	test("code grows by text nodes and is cut into parts", () => {
		const r = rig();
		let text = "```\n";
		for (let i = 0; i < 500; i++) {
			text += `line ${i}\n`;
			if (i % 50 === 0) r.view.update(text, false);
		}
		r.view.update(text, false);
		expect(r.root.querySelectorAll(".code-part").length).toBe(3);
		expect(r.root.querySelector("code")?.textContent).toBe(text.slice(4));
	});

	test("code in a text stays text", () => {
		const r = rig();
		r.view.update("```html\n<img src=x onerror=alert(1)>\n```", true);
		expect(r.root.querySelector("img")).toBeNull();
		expect(r.root.querySelector("code")?.textContent).toContain("<img");
	});

	test.each([
		["prose", (i: number) => `Satz ${i} mit **Wort** und \`code\`.${i % 5 ? "" : "\n"}`],
		["list", (i: number) => `- Punkt ${i}`],
		["code", (i: number) => (i ? `x = ${i};` : "```c")],
	])("20,000 lines of %s: the last thousand updates cost no more than the first", (_name, line) => {
		const lines = Array.from({ length: 20_000 }, (_, i) => line(i));
		const r = rig();
		let text = "";
		const spans: number[] = [];
		for (let part = 0; part < 20; part++) {
			const t = performance.now();
			for (let i = 0; i < 1_000; i++) {
				text += `${lines[part * 1_000 + i]}\n`;
				if (i % 20 === 0) r.view.update(text, false);
			}
			spans.push(performance.now() - t);
		}
		r.view.update(text, true);
		expect(r.root.textContent).toContain(lines[19_999]?.replace(/[*`]|^- /g, "").slice(0, 12));
		const early = Math.max(...spans.slice(1, 5)) + 20;
		const late = Math.min(...spans.slice(-4));
		expect(late).toBeLessThan(early * 4);
	});
});
