import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { de } from "./de";
import { en } from "./en";
import { glossary } from "./glossary";
import { fill, type Key, loadLanguage, pick, translate } from "./index.svelte";

const keys = Object.keys(en) as Key[];
const SOURCES = join(import.meta.dirname, "../..");
/* Words that speak to a person; a text with one of them needs its other form. "sie/ihr" in lower case
 * is they/her, at the beginning of a sentence it may be either: such texts are listed by hand. */
const FORMAL = /\b(?:Sie|Ihr|Ihre|Ihrem|Ihren|Ihrer|Ihres|Ihnen)\b/;
const FAMILIAR = /\b(?:du|dich|dir|dein|deine|deinem|deinen|deiner|deines|Du|Dich|Dir|Dein|Deine|Deinem|Deinen|Deiner|Deines)\b/;
const THEY = new Set<string>(["list.empty", "chat.missing.text"]); /* "Sie" = they, at the start */

function holes(text: string): string[] {
	return [...text.matchAll(/\{(\w+)/g)].map((m) => m[1] ?? "").filter((n, i, all) => all.indexOf(n) === i).sort();
}
function forms(key: Key): string[] {
	const text = de[key];
	return typeof text === "string" ? [text] : [text.sie, text.du];
}
function files(dir: string): string[] {
	return readdirSync(dir, { withFileTypes: true }).flatMap((f) => (f.isDirectory() ? files(join(dir, f.name)) : /\.(svelte|ts)$/.test(f.name) && !/\.test\.ts$/.test(f.name) ? [join(dir, f.name)] : []));
}

describe("both languages", () => {
	test("have the same keys", () => expect(Object.keys(de).sort()).toEqual([...keys].sort()));
	test("have no empty text", () => {
		for (const k of keys) for (const text of [en[k], ...forms(k)]) expect(text.trim(), k).not.toBe("");
	});
	test.each(keys)("%s fills the same holes", (k) => {
		for (const form of forms(k)) expect(holes(form).filter((x) => x !== "n")).toEqual(holes(en[k]).filter((x) => x !== "n"));
	});
	test("have a text for every error of the contract", () => {
		const slugs = (JSON.parse(readFileSync(join(SOURCES, "../../api/errors.json"), "utf8")) as { errors: { slug: string }[] }).errors;
		for (const e of slugs) expect(keys, e.slug).toContain(`error.${e.slug}`);
	});
});

describe("Sie and du", () => {
	test.each(keys)("%s has both forms if it speaks to someone", (k) => {
		const text = de[k];
		if (typeof text === "string") {
			if (!THEY.has(k)) expect(text).not.toMatch(FORMAL);
			expect(text).not.toMatch(FAMILIAR);
			return;
		}
		expect(text.sie).not.toBe(text.du);
		expect(text.sie).not.toMatch(FAMILIAR);
		expect(text.du).not.toMatch(FORMAL);
	});
	test("are chosen by the setting", async () => {
		await loadLanguage("de");
		expect(translate("de", "du", "profile.you")).toBe("Über dich");
		expect(translate("de", "sie", "profile.you")).toBe("Über Sie");
		expect(pick({ sie: "a", du: "b" }, "du")).toBe("b");
	});
});

describe("glossary", () => {
	test.each(keys)("%s uses the agreed words", (k) => {
		for (const [word, stems] of glossary) {
			if (!word.test(en[k])) continue;
			for (const form of forms(k)) expect(stems.some((s) => form.toLowerCase().includes(s)), `${word} in ${JSON.stringify(form)}`).toBe(true);
		}
	});
});

describe("use", () => {
	const source = files(SOURCES).filter((f) => !f.includes("/i18n/")).map((f) => readFileSync(f, "utf8")).join("\n");
	test("no key is unused", () => {
		/* keys that are put together: t(`role.${x}`) and the like */
		const built = [...source.matchAll(/`([a-z.]+\.)\$\{/g)].map((m) => m[1] ?? "");
		const unused = keys.filter((k) => !source.includes(`"${k}"`) && !built.some((b) => k.startsWith(b)) && !k.startsWith("error."));
		expect(unused).toEqual([]);
	});
	test("no text stands in a component", () => {
		const found = files(SOURCES).filter((f) => f.endsWith(".svelte")).flatMap((f) => {
			const markup = readFileSync(f, "utf8").replace(/<(script|style)[\s\S]*?<\/\1>/g, "").replace(/<!--[\s\S]*?-->/g, "").replace(/\{[^{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^{}]*)*\}/g, "");
			return [...markup.matchAll(/>([^<>]*\p{L}{3,}[^<>]*)</gu)].map((m) => m[1]?.trim() ?? "").filter((x) => !/^(Tresor|Deutsch|English|OpenAI|Ollama|tresor [\w- ]+|tresor restore.*|\/v1|[· ]*Tresor[· ]*)$/.test(x) && !/=>|===/.test(x));
		});
		expect(found).toEqual([]);
	});
});

test("fill chooses by number and keeps unknown holes", () => {
	expect(fill("{n} {n:day|days}", { n: 1 })).toBe("1 day");
	expect(fill("{n} {n:day|days}", { n: 2 })).toBe("2 days");
	expect(fill("{x}", {})).toBe("{x}");
});
