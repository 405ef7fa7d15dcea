import { expect, test } from "vitest";
import { highlight } from "./highlight";

const CODE = 'def f(x):  # twice\n    return "a\\"b" + str(2.5)\n';

test("loses no character, whatever the language", () => {
	for (const lang of ["python", "js", "sql", "c", "html", "json", "", "unknown"])
		for (const code of [CODE, "/* open", '"open', "`open", "<!-- open", "''''", "\\"])
			expect(highlight(code, lang).map((p) => p.text).join("")).toBe(code);
});
test("knows comments, strings, numbers, words, calls", () => {
	const of = (shade: string) => highlight(CODE, "python").filter((p) => p.shade === shade).map((p) => p.text);
	expect(of("keyword")).toEqual(["def", "return"]);
	expect(of("comment")).toEqual(["# twice"]);
	expect(of("string")).toEqual(['"a\\"b"']);
	expect(of("number")).toEqual(["2.5"]);
	expect(of("name")).toEqual(["f", "str"]);
});
test("a hostile text does not make it slow", () => {
	const t = performance.now();
	highlight('"'.repeat(30_000) + "\\".repeat(30_000) + "/*".repeat(30_000), "js");
	expect(performance.now() - t).toBeLessThan(3_000);
});
