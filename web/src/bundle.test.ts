// @vitest-environment node
/* The built page: small at the start, nothing inline, nothing foreign, nothing evaluated. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";

const START_MAX = 150_000; /* bytes, compressed, the font included */
const root = join(import.meta.dirname, "..");
const dist = mkdtempSync(join(tmpdir(), "tresor-dist-"));
const read = (path: string) => readFileSync(join(dist, path));
const html = () => read("index.html").toString();
const assets = () => readdirSync(join(dist, "assets"));

beforeAll(async () => {
	await build({ root, logLevel: "error", build: { outDir: dist, emptyOutDir: true } });
}, 120_000);
afterAll(() => rmSync(dist, { recursive: true, force: true }));

/* What a browser fetches before anyone has logged in: index.html, what it names, what that imports
 * statically, one language, the worker, and the font of the style sheet. */
function startFiles(): string[] {
	const files = new Set(["index.html"]);
	const wait = [...html().matchAll(/(?:src|href)="\/([^"]+)"/g)].map((m) => m[1] ?? "");
	for (const name of assets()) if (/^events\.worker-.*\.js$/.test(name) || /\.woff2$/.test(name) || /^de-.*\.js$/.test(name)) wait.push(`assets/${name}`);
	for (let f = wait.pop(); f !== undefined; f = wait.pop()) {
		if (files.has(f)) continue;
		files.add(f);
		if (!f.endsWith(".js")) continue;
		for (const m of read(f).toString().matchAll(/(?:^|[;\n}])(?:import|export)[^;"'()]*?["']\.\/([\w.-]+\.js)["']/g)) wait.push(`assets/${m[1]}`);
	}
	return [...files];
}

test("the start bundle is at most 150 KB compressed", () => {
	const sizes = startFiles().map((f) => [f, f.endsWith(".woff2") ? read(f).length : gzipSync(read(f), { level: 9 }).length] as const);
	const sum = sizes.reduce((n, [, s]) => n + s, 0);
	expect(sizes.length, "files were found").toBeGreaterThan(5);
	expect(sum, JSON.stringify(sizes)).toBeLessThanOrEqual(START_MAX);
});

test("index.html has no inline script, style or handler", () => {
	expect(html()).not.toMatch(/<script(?![^>]*\bsrc=)/);
	expect(html()).not.toMatch(/<style|\sstyle=|\son\w+=/);
});

test("nothing is evaluated, nothing foreign is named", () => {
	for (const f of assets().filter((n) => n.endsWith(".js"))) {
		const text = read(`assets/${f}`).toString();
		expect(text, f).not.toMatch(/\beval\(|new Function\(|\bFunction\("/);
		const hosts = [...text.matchAll(/["'`](https?:\/\/[^/"'`$\s]+)/g)].map((m) => m[1]).filter((h) => !/^http:\/\/www\.w3\.org$|^https:\/\/svelte\.dev$/.test(h ?? ""));
		expect(hosts, f).toEqual([]);
	}
	for (const f of assets().filter((n) => n.endsWith(".css"))) expect(read(`assets/${f}`).toString(), f).not.toMatch(/url\((?!\/assets\/)|@import/);
});

test("every asset carries a hash in its name", () => {
	for (const f of assets()) expect(f).toMatch(/-[\w-]{8,}\.\w+$/);
});
