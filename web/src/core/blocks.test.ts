import { describe, expect, test } from "vitest";
import { BlockSplitter, heal, MD_CHARS_MAX, MD_LINES_MAX } from "./blocks";

function split(text: string) {
	const s = new BlockSplitter();
	s.append(text);
	s.finish();
	return s.blocks;
}
const shapes = (text: string) => split(text).map((b) => [b.kind, b.text] as const);
const SAMPLE = `# Title
Intro line
second line

- one
- two

  still two
- three

1. a
   \`\`\`js
   let x

   let y
   \`\`\`
2. b

> quote

| a | b |
|---|---|
| 1 | 2 |

\`\`\`python
print("hi")

# not a heading
\`\`\`
After ~~~ text
~~~
tilde \`\`\`
~~~

End **bold** \`code\``;

describe("BlockSplitter", () => {
	test("cuts paragraphs, headings, lists, quotes, tables and code", () => {
		expect(shapes(SAMPLE)).toEqual([
			["md", "# Title"],
			["md", "Intro line\nsecond line"],
			["md", "- one\n- two\n\n  still two\n- three\n\n1. a\n   ```js\n   let x\n\n   let y\n   ```\n2. b"],
			["md", "> quote"],
			["md", "| a | b |\n|---|---|\n| 1 | 2 |"],
			["code", 'print("hi")\n\n# not a heading\n'],
			["md", "After ~~~ text"],
			["code", "tilde ```\n"],
			["md", "End **bold** `code`"],
		]);
	});

	test("gives the same blocks whatever pieces the text comes in", () => {
		const whole = shapes(SAMPLE);
		for (const size of [1, 2, 3, 7, 50]) {
			const s = new BlockSplitter();
			for (let i = 0; i < SAMPLE.length; i += size) s.append(SAMPLE.slice(i, i + size));
			s.finish();
			expect(s.blocks.map((b) => [b.kind, b.text])).toEqual(whole);
		}
	});

	test("never changes a closed block", () => {
		const s = new BlockSplitter();
		const closed = new Map<number, string>();
		for (const c of SAMPLE) {
			s.append(c);
			for (const b of s.blocks) {
				if (closed.has(b.id)) expect(b.text).toBe(closed.get(b.id));
				if (b.closed) closed.set(b.id, b.text);
			}
			expect(s.blocks.slice(0, -1).every((b) => b.closed)).toBe(true);
		}
	});

	test("shows the unfinished line, but no half fence", () => {
		const s = new BlockSplitter();
		s.append("Hel");
		expect(s.blocks[0]?.text).toBe("Hel");
		s.append("lo\n``");
		expect(s.blocks[0]?.text).toBe("Hello\n");
		s.append("`py\nx = 1\n``");
		expect(s.blocks[1]).toMatchObject({ kind: "code", lang: "py", text: "x = 1\n" });
		s.append("`\n");
		expect(s.blocks[1]).toMatchObject({ closed: true, text: "x = 1\n" });
	});

	test("an unclosed fence ends with the text", () => {
		expect(shapes("```\nabc")).toEqual([["code", "abc\n"]]);
	});

	test("treats CRLF as a line end", () => {
		expect(shapes("a\r\n\r\nb\r\n")).toEqual([["md", "a"], ["md", "b"]]);
	});

	test.each([
		["a list", (i: number) => `- item ${i}`],
		["a table", (i: number) => (i === 0 ? "| n |" : i === 1 ? "|---|" : `| ${i} |`)],
		["a paragraph", (i: number) => `line ${i}`],
		["code inside a list", (i: number) => (i === 0 ? "- x\n  ```" : `  line ${i}`)],
	])("no block of %s outgrows its bound, and no line is lost", (_name, line) => {
		const n = 20_000;
		const text = Array.from({ length: n }, (_, i) => line(i)).join("\n");
		const blocks = split(text);
		for (const b of blocks) if (b.kind === "md") expect(b.text.split("\n").length).toBeLessThanOrEqual(2 * MD_LINES_MAX + 2);
		const all = blocks.map((b) => b.text).join("\n");
		for (const i of [2, 119, 120, 121, 5_000, n - 1]) expect(all).toContain(line(i).trim());
	});

	test("a table's later parts repeat its head", () => {
		const blocks = split(["| n |", "|---|", ...Array.from({ length: 300 }, (_, i) => `| ${i} |`)].join("\n"));
		expect(blocks.length).toBeGreaterThan(2);
		expect(blocks.map((b) => b.continues)).toEqual(blocks.map((_, i) => i > 0));
		expect(blocks.every((b) => b.text.startsWith("| n |\n|---|\n"))).toBe(true);
	});

	test("one endless line is cut between words", () => {
		const blocks = split("word ".repeat(20_000));
		expect(blocks.every((b) => b.text.length <= MD_CHARS_MAX)).toBe(true);
		expect(blocks.map((b) => b.text).join(" ").match(/word/g)).toHaveLength(20_000);
	});
});

describe("cost", () => {
	/* What the page does for 20,000 lines that come in small pieces: the text handed to the parser,
	 * summed over all steps, must grow linearly, not with the square. */
	function work(lines: number): number {
		const s = new BlockSplitter();
		let handed = 0;
		for (let i = 0; i < lines; i++) {
			s.append(`- item ${i} with **some** words\n`);
			const last = s.blocks[s.blocks.length - 1];
			if (last?.kind === "md") handed += last.text.length;
		}
		return handed;
	}
	test("20,000 lines cost ten times 2,000 lines", () => {
		const small = work(2_000);
		const large = work(20_000);
		expect(large / small).toBeLessThan(11.5);
	});
	test("splitting 20,000 lines in pieces of 8 characters takes under two seconds", () => {
		const text = Array.from({ length: 20_000 }, (_, i) => `Line ${i} of a long answer, with \`code\`.`).join("\n");
		const s = new BlockSplitter();
		const t = performance.now();
		for (let i = 0; i < text.length; i += 8) s.append(text.slice(i, i + 8));
		expect(performance.now() - t).toBeLessThan(2_000);
	});
});

describe("heal", () => {
	test.each([
		["a **bo", "a **bo**"],
		["a **bold*", "a **bold**"],
		["a **", "a "],
		["`co", "`co`"],
		["x `", "x "],
		["see [the page](https://ex", "see the page"],
		["see [the pa", "see the pa"],
		["![pic](http", "pic"],
		["done **b** `c` [l](u)", "done **b** `c` [l](u)"],
		["**a**\n\nb **c", "**a**\n\nb **c**"],
	])("%j -> %j", (text, healed) => expect(heal(text)).toBe(healed));
});
