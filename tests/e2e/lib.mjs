/* What both suites need: TAP, the browser, pages that are watched, small waits. */
import { mkdirSync, mkdtempSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const ROOT = process.env.TRESOR_ROOT ?? join(import.meta.dirname, "../..");
const require = createRequire(join(ROOT, "web/package.json"));
const { chromium } = require("playwright-core");
const ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];

/* ---- TAP: one test after the other, each with a limit ---- */
const planned = [];
export function test(name, run, seconds = 60) {
	if (!process.env.E2E_ONLY || name.includes(process.env.E2E_ONLY) || name.startsWith("begin:")) planned.push({ name, run, seconds });
}
let number = 0;
export async function runAll(watch) {
	const tests = planned.splice(0);
	let failed = 0;
	for (const t of tests) {
		const started = Date.now();
		let timer;
		const late = new Promise((_, no) => {
			timer = setTimeout(() => no(new Error(`took longer than ${t.seconds} s`)), t.seconds * 1000);
		});
		try {
			await Promise.race([t.run(), late]);
			console.log(`ok ${++number} - ${t.name}\n# ${Date.now() - started} ms`);
		} catch (e) {
			failed++;
			console.log(`not ok ${++number} - ${t.name}`);
			for (const line of String(e.stack ?? e).split("\n").slice(0, 14)) console.log(`#   ${line}`);
			await picture(watch, t.name).catch(() => {});
		}
		clearTimeout(timer);
	}
	return failed;
}
export const count = () => number;

async function picture(watch, name) {
	const dir = process.env.E2E_KEEP;
	if (!dir) return;
	mkdirSync(dir, { recursive: true });
	for (const [i, page] of watch.pages.entries())
		if (!page.isClosed()) await page.screenshot({ path: join(dir, `${name.replace(/\W+/g, "-")}-${i}.png`) });
}

export function check(ok, what) {
	if (!ok) throw new Error(what);
}
export function equal(is, want, what = "value") {
	if (JSON.stringify(is) !== JSON.stringify(want)) throw new Error(`${what}: is ${JSON.stringify(is)}, wanted ${JSON.stringify(want)}`);
}
/* Letters and digits of a text. Marks are left out: an unfinished one ("**The") stands in a growing
 * answer as it is until the rest of it has come, and is gone afterwards. */
const plain = (text) => text.replace(/[^\p{L}\p{N}]/gu, "");
/* What was seen of an answer in its middle is how its end begins. */
export function sameBeginning(end, middle, most = 20) {
	const begin = plain(middle).slice(0, most);
	if (!begin || !plain(end).startsWith(begin)) throw new Error(`the answer began ${JSON.stringify(middle.slice(0, 60))}, and ended as ${JSON.stringify(end.slice(0, 60))}`);
}
export async function until(ask, what, seconds = 20) {
	const end = Date.now() + seconds * 1000;
	for (;;) {
		const v = await ask();
		if (v) return v;
		if (Date.now() > end) throw new Error(`never: ${what}`);
		await new Promise((r) => setTimeout(r, 40));
	}
}

/* ---- the browser ---- */
export async function browser() {
	return chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ARGS });
}

/* Watches every page: nothing may break the content rules, nothing may leave the house. */
export class Watch {
	pages = [];
	trouble = [];
	urls = [];
	constructor(origin) {
		this.origin = origin;
	}
	async device(b, options = {}) {
		const context = await b.newContext({ viewport: { width: 1280, height: 820 }, locale: "en-US", ignoreHTTPSErrors: true, ...options });
		await context.grantPermissions(["clipboard-read", "clipboard-write"]);
		await context.addInitScript(() => {
			window.__broken = [];
			document.addEventListener("securitypolicyviolation", (e) => window.__broken.push(`${e.violatedDirective} ${e.blockedURI}`));
		});
		context.on("request", (r) => {
			this.urls.push(r.url());
			if (!r.url().startsWith(this.origin) && !/^(data|blob):/.test(r.url())) this.trouble.push(`asked a foreign host: ${r.url()}`);
		});
		context.on("page", (page) => {
			this.pages.push(page);
			page.on("pageerror", (e) => this.trouble.push(`error in the page: ${e.message}`));
			page.on("dialog", (d) => {
				this.trouble.push(`a dialog of a script: ${d.message()}`);
				void d.dismiss();
			});
			page.on("console", (m) => {
				if (m.type() === "error" && !m.text().startsWith("Failed to load resource")) this.trouble.push(`console: ${m.text()}`);
			});
		});
		return context;
	}
	async broken(page) {
		return page.evaluate(() => window.__broken);
	}
}

/* ---- what a person does ---- */
const PATIENCE_S = 12;
export const person = {
	async logIn(page, url, email, password) {
		await page.goto(url);
		await page.fill("input[type=email]", email);
		await page.fill("input[type=password]", password);
		await page.click("button[type=submit]");
		await page.waitForSelector("#composer");
	},
	async ask(page, text) {
		await page.fill("#composer", text);
		await page.press("#composer", "Enter");
		await page.waitForURL(/\/c\//);
		await page.waitForSelector(".answer");
	},
	answer: (page) => page.locator(".answer").last().locator(".prose").innerText().then((t) => t.trim()),
	async growing(page, least = 1, seconds = 60) {
		return until(async () => {
			const t = await person.answer(page);
			return plain(t).length >= least && t;
		}, `an answer of ${least} letters or digits`, seconds);
	},
	streaming: (page) => page.locator("button.stop").isVisible(),
	/* Waits for the end. A very small model may talk in circles up to its context: after PATIENCE_S
	 * the person has heard enough and stops it, which is an end like any other. */
	async finished(page) {
		const over = async () => !(await person.streaming(page)) && (await page.locator(".answer").last().locator(".acts").count()) > 0;
		await until(over, "", PATIENCE_S).catch(() => page.locator("button.stop").click({ timeout: 2000 }).catch(() => {}));
		await until(over, "the end of the answer", 30);
		return person.answer(page);
	},
	async menu(page, button, item) {
		await button.click();
		await page.getByRole("menuitem", { name: item }).click();
	},
};

/* Every control that a screen reader meets has a name. */
export async function unnamed(page) {
	const cdp = await page.context().newCDPSession(page);
	const { nodes } = await cdp.send("Accessibility.getFullAXTree");
	await cdp.detach();
	const roles = new Set(["button", "link", "textbox", "menuitem", "menuitemradio", "radio", "checkbox", "combobox", "dialog", "menu", "navigation", "progressbar"]);
	return nodes.filter((n) => !n.ignored && roles.has(n.role?.value) && !n.name?.value?.trim()).map((n) => `${n.role.value} ${JSON.stringify(n.properties ?? []).slice(0, 80)}`);
}
/* Controls smaller than a fingertip (44 px), by visible area of click. */
export async function tooSmall(page) {
	return page.evaluate(() =>
		[...document.querySelectorAll("button, a[href], input, select, textarea, summary")]
			.filter((e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: false }) && !e.closest(".prose p, .prose li, .skip, .notice, .test, .hidden-visually") && !e.matches(".hidden-visually, .skip"))
			.map((e) => [e, (e.type === "radio" || e.type === "checkbox" ? (e.closest("label") ?? e) : e).getBoundingClientRect()])
			.filter(([, r]) => r.width > 0 && (r.height < 43.5 || r.width < 43.5))
			.map(([e, r]) => `${e.tagName.toLowerCase()}.${e.className} ${e.getAttribute("aria-label") ?? e.textContent.trim().slice(0, 30)} ${Math.round(r.width)}x${Math.round(r.height)}`),
	);
}
export const sideways = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
export const tempDir = (name) => mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), name));
