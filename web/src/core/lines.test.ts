import { expect, test } from "vitest";
import { LineParser } from "./lines";

test("lines come whole, wherever the pieces are cut", () => {
	const text = '{"a":1}\n{"b":"ü\\n"}\r\n\n{"c":3}';
	for (let cut = 0; cut <= text.length; cut++) {
		const p = new LineParser();
		expect([...p.push(text.slice(0, cut)), ...p.push(text.slice(cut)), ...p.end()]).toEqual([{ a: 1 }, { b: "ü\n" }, { c: 3 }]);
	}
});

test("what is no JSON is left out, and nothing is said twice", () => {
	const p = new LineParser();
	expect(p.push("<html>\n[1]\n")).toEqual([[1]]);
	expect(p.end()).toEqual([]);
});
