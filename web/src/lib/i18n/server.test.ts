import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { german } from "./server";

const root = join(import.meta.dirname, "../../../..");
const FORMAL = /\b(?:Sie|Ihr|Ihre|Ihnen)\b|\b(?:du|dich|dir|deine?)\b/;

const whys = (JSON.parse(readFileSync(join(root, "src/models/advice.json"), "utf8")) as { models: { why: string }[] }).models.map((m) => m.why);

/* What doctor.c can say: the literals of say(), cure() and snprintf(), put together as C does. */
function sentences(): string[] {
	const source = readFileSync(join(root, "src/api/team/doctor.c"), "utf8").replace(/" PRI[a-z]\d+ "/g, "").replace(/" PRI[a-z]\d+/g, '"');
	const out: string[] = [];
	for (const m of source.matchAll(/(?:\bsay\(k, CHECK_\w+,|\bcure\(k,|snprintf\(k->text, sizeof k->text,)\s*((?:"(?:[^"\\]|\\.)*"\s*)+)/g))
		out.push([...(m[1] ?? "").matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((x) => x[1]).join(""));
	return out.filter((t) => t !== "%s").map((t) => t.replace("%s%s", "").replace(/%zu|%u|%ld|%(?=\s|$)/g, "7").replace(/%\.1f/g, "1.5").replace(/%(?:\.\*|\.\d+)?s/g, "x"));
}

/* What aliases, trials and versions refuse with, and why a trial failed: literals of C, put together. */
function refusals(): string[] {
	const out: string[] = [];
	for (const file of ["alias.c", "alias_store.c", "trial.c", "trial_run.c", "store_versions.c"]) {
		const source = readFileSync(join(root, "src/models", file), "utf8");
		for (const m of source.matchAll(/\b(?:err_set\(\s*[^,]+,\s*[^,]+,|fail_locked\(r, \w+, STR\(|\.failed =|db_bind_str\(&q, 1,)\s*(?:STR\()?((?:"(?:[^"\\]|\\.)*"\s*)+)/g))
			out.push([...(m[1] ?? "").matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((x) => x[1]).join("").replaceAll('\\"', '"'));
	}
	return out.filter((t) => t !== "").map((t) => t.replace(/%[du]/g, "20").replace("has no %s version", "has no candidate version").replace("the %s version", "the production version").replace(/%(?:\.\*)?s/g, "text"));
}

test("what is refused about aliases, trials and versions has its German", () => {
	const all = refusals();
	expect(all.length).toBeGreaterThan(35);
	for (const s of all) {
		expect(german(s), s).not.toBeNull();
		expect(german(s) ?? "", s).not.toMatch(/"|\bSie\b|\$/);
	}
});
test("what is refused about pictures has its German", () => {
	const said = (file: string, pattern: RegExp) => [...readFileSync(join(root, file), "utf8").replace(/"\s*\n\s*"/g, "").matchAll(pattern)].map((m) => (m[1] ?? "").replaceAll('\\"', '"').replaceAll("%llu", "60000").replaceAll("%d", "16").replace("%.100s", "bad").replace("%s", "JPEG").replace("%u", "0"));
	const jail = said("src/doc/image.c", /err_set\(info, ERR_\w+,\s*"((?:[^"\\]|\\.)*)"/g);
	const chat = said("src/chat/chat_pictures.c", /err_set\(info, ERR_\w+,\s*"((?:[^"\\]|\\.)*)"/g).filter((s) => !/^the message has|are not read here|: JPEG$/.test(s));
	expect(jail.length).toBeGreaterThan(4);
	expect(chat.length).toBeGreaterThan(2);
	for (const s of [...jail.map((x) => `pictures[3]: ${x}`), ...chat, "no model here can see pictures"]) {
		expect(german(s), s).not.toBeNull();
		expect(german(s) ?? "", s).not.toMatch(FORMAL);
	}
});
test("why a model did not come or go has its German", () => {
	const literals = (file: string, pattern: RegExp) => [...readFileSync(join(root, "src", file), "utf8").replace(/"\s*\n\s*"/g, "").matchAll(pattern)].map((m) => (m[1] ?? "").replaceAll('\\"', '"').replace("does not %s ", "does not give ").replace('" %s (', '" to everybody (').replace(/%(?:\.\*|\.\d+)?s/g, "example").replace(/%[udz]+/g, "443"));
	const SET = /err_set\(\s*[^,"]+,\s*[^,"]+,\s*"((?:[^"\\]|\\.)*)"/g;
	const all = [
		...literals("net/fetch.c", /\bwhy = "((?:[^"\\]|\\.)*)"/g).map((why) => `example: ${why}`),
		...literals("net/fetch.c", /(?:stop\(f, \w+,|fetch_fail\(f, \w+,|snprintf\(f->why, sizeof f->why,)\s*"((?:[^"\\]|\\.)*)"/g),
		...["net/allow.c", "models/pull.c", "models/pull_blob.c", "models/pull_http.c", "models/pull_run.c"].flatMap((f) => literals(f, SET)),
		...literals("models/advise.c", /a->why = "((?:[^"\\]|\\.)*)"/g),
	].filter((s) => s !== "example" && s !== "example: example" && s !== "%s");
	expect(all.length).toBeGreaterThan(35);
	for (const s of all) {
		expect(german(s), s).not.toBeNull();
		expect(german(s) ?? "", s).not.toMatch(/\bSie\b|\$\d/);
	}
});
test("every reason of the list of models has its German", () => {
	expect(whys.length).toBeGreaterThan(5);
	for (const why of whys) expect(german(why), why).not.toBeNull();
});
test("every sentence of the doctor has its German", () => {
	const all = sentences();
	expect(all.length).toBeGreaterThan(20);
	for (const s of all) {
		expect(german(s), s).not.toBeNull();
		expect(german(s) ?? "", s).not.toMatch(FORMAL);
	}
});
test("what was measured stands in the German sentence, what is missing does not", () => {
	expect(german("1.5 of 24.0 GiB are free; page size 4096 bytes")).toBe("1.5 von 24.0 GiB sind frei; Seitengröße 4096 Byte");
	expect(german("1.5 of 24.0 GiB are free; page size 4096 bytes; GPU: H100")).toBe("1.5 von 24.0 GiB sind frei; Seitengröße 4096 Byte; Grafikkarte: H100");
	expect(german("something new")).toBeNull();
});
