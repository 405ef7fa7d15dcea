/* The page against its stand-in server. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { browser, check, equal, person, ROOT, runAll, tempDir, test, unnamed, until, Watch } from "./lib.mjs";
import { modelTests } from "./models.mjs";
import { lastTest, sharedTests } from "./shared.mjs";

export async function run() {
	const { Mock } = await import(join(ROOT, "web/dev/mock.mjs"));
	let dist = join(ROOT, "web/dist");
	if (!process.env.E2E_DIST || !existsSync(dist)) {
		dist = join(tempDir("tresor-page-"), "dist");
		execFileSync("npm", ["run", "--silent", "build", "--", "--outDir", dist, "--emptyOutDir", "--logLevel", "error"], { cwd: join(ROOT, "web"), stdio: ["ignore", process.stderr, process.stderr] });
	}
	const mock = new Mock({ speed: 12, dist });
	const url = await mock.listen();
	const b = await browser();
	const w = {
		url, browser: b, watch: new Watch(url), owner: { email: "ada@example.org", password: "ein guter langer Satz" },
		ownerLink: async () => `${url}/#/link/${mock.link("owner")}`,
		long: "COUNT to two hundred", short: "WAIT no, just say thanks",
		beforeTabs: () => (mock.streamsMax = mock.streams.size),
		afterTabs: () => check(mock.streamsMax <= 2, `${mock.streamsMax} streams were open (this browser's and the desk's were expected)`),
	};
	w.short = "Just say thanks";
	const t = sharedTests(w);
	pageOnly(w, mock, t);
	modelTests(w, mock, t);
	lastTest(w);
	const failed = await runAll(w.watch);
	await b.close();
	mock.close();
	return failed;
}

function pageOnly(w, mock, { page: get }) {
	test("hostile Markdown of a model is harmless, also while it grows", async () => {
		const page = get();
		await page.goto(w.url);
		await person.ask(page, "XSS please");
		await person.finished(page);
		equal(await page.evaluate(() => window.__xss), undefined, "what a script would have set");
		equal(await page.locator(".prose").locator("img, script, svg, iframe, style, form, object").count(), 0, "foreign elements");
		const links = await page.locator(".prose a").evaluateAll((all) => all.map((a) => [a.href, a.target, a.rel]));
		equal(links, [["https://example.org/a?b=c", "_blank", "noopener noreferrer nofollow"], ["https://evil.example/pixel.png", "_blank", "noopener noreferrer nofollow"]], "links");
		await page.locator(".prose a").first().click();
		const dialog = page.getByRole("dialog", { name: "Open a page outside?" });
		await dialog.waitFor();
		check((await dialog.innerText()).includes("example.org"), "the host is shown before anything opens");
		await page.keyboard.press("Escape");
		equal(page.context().pages().length, page.context().pages().filter((p) => p.url().startsWith(w.url)).length, "pages outside");
	});

	test("a conversation is saved as Markdown and as JSON, and says that an AI wrote it", async () => {
		const page = get();
		await page.goto(w.url);
		await person.ask(page, w.short);
		await person.finished(page);
		const saved = async (item) => {
			const [file] = await Promise.all([page.waitForEvent("download"), person.menu(page, page.locator("nav .row.here").getByRole("button"), item)]);
			return { name: file.suggestedFilename(), text: readFileSync(await file.path(), "utf8") };
		};
		const md = await saved("Save as Markdown");
		check(/^\d{4}-\d\d-\d\d-.+\.md$/.test(md.name), `the name ${md.name}`);
		check(md.text.includes(w.short) && /\n## Answer of .+, written by an AI\n/.test(md.text), md.text.slice(0, 400));
		const json = JSON.parse((await saved("Save as JSON")).text);
		equal(json.messages.map((m) => m.written_by), ["person", "ai"], "who wrote it");
	});

	test("an answer that breaks off can be tried again", async () => {
		const page = get();
		await page.goto(w.url);
		await person.ask(page, "FAIL");
		await page.getByText("The answer broke off.").waitFor();
		check((await person.answer(page)).startsWith("Der Anfang"), "what was written stays");
		await page.getByRole("button", { name: "Try again" }).click();
		await until(async () => (await page.getByText("2/2").count()) > 0, "a second version");
	});

	test("a question that could not be sent stays, and is sent once", async () => {
		const page = get();
		await page.goto(w.url);
		await person.ask(page, w.short);
		await person.finished(page);
		mock.failNext = (key) => key.startsWith("POST") && key.endsWith("/messages");
		await page.fill("#composer", "second question");
		await page.press("#composer", "Enter");
		await page.getByText("The message was not sent.").waitFor();
		await page.getByRole("button", { name: "Try again" }).click();
		await until(async () => (await page.locator(".answer").count()) === 2, "the second answer");
		equal(await page.locator(".question").count(), 2, "questions");
		await person.finished(page);
	});

	test("pictures: chosen, pasted and dropped, taken away, sent, and the badge of whom they went to", async () => {
		const page = get();
		const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
		const other = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEANl9ngAAAAABJRU5ErkJggg==", "base64");
		const given = (how, bytes, type, name) =>
			page.evaluate(([how_, b64, type_, name_]) => {
				const data = new DataTransfer();
				data.items.add(new File([Uint8Array.from(atob(b64), (c) => c.charCodeAt(0))], name_, { type: type_ }));
				const at = how_ === "paste" ? document.querySelector("#composer") : document.body;
				at.dispatchEvent(how_ === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }) : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
			}, [how, bytes.toString("base64"), type, name]);
		const attached = page.locator(".composer .pictures li");
		await page.goto(w.url);
		await page.waitForSelector("#composer");
		const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.getByRole("button", { name: "Add pictures" }).click()]);
		await chooser.setFiles({ name: "a.png", mimeType: "image/png", buffer: png });
		await until(async () => (await attached.count()) === 1, "the chosen picture");
		await given("paste", other, "image/png", "b.png");
		await until(async () => (await attached.count()) === 2, "the pasted picture");
		await given("drop", Buffer.from("%PDF-1.7"), "application/pdf", "c.pdf");
		await page.getByText("Pictures can be PNG, JPEG or WebP files.").waitFor();
		equal(await attached.count(), 2, "pictures after a file that is none");
		await page.getByRole("button", { name: "Remove picture 2" }).focus();
		await page.keyboard.press("Enter");
		await until(async () => (await attached.count()) === 1, "one taken away by the keyboard");
		equal(await page.evaluate(() => document.activeElement?.id), "composer", "where the keyboard is then");
		await given("drop", other, "image/png", "b.png");
		await until(async () => (await attached.count()) === 2, "the dropped picture");
		equal(await unnamed(page), [], "controls without a name");

		/* nobody sees: nothing is taken, nothing is lost */
		await page.getByText("No model here can see pictures.").waitFor();
		await page.fill("#composer", "What is this?");
		await page.press("#composer", "Enter");
		await page.getByText("The message was not sent.").waitFor();
		await page.getByText("no model here can see pictures").waitFor();
		await page.getByRole("button", { name: "Edit", exact: true }).click();
		equal(await attached.count(), 2, "pictures given back");
		equal(await page.inputValue("#composer"), "What is this?", "the text given back");

		mock.models.push({ ...mock.models[0], name: "seer:4b", starter: false, capabilities: ["completion", "vision"] });
		mock.tell("", { type: "models" });
		await page.getByText(/cannot see pictures: a model that can will answer/).waitFor();
		await page.press("#composer", "Enter");
		const answer = page.locator(".answer").last();
		await answer.getByText("picture · answered by seer:4b").waitFor();
		await person.finished(page);
		const shown = page.locator(".question .pictures img");
		equal(await shown.count(), 2, "pictures in the sent message");
		equal(await shown.evaluateAll((all) => all.map((i) => i.alt)), ["Picture 1 of 2", "Picture 2 of 2"], "what a screen reader hears");
		await until(() => shown.evaluateAll((all) => all.every((i) => i.complete && i.naturalWidth === 1)), "the pictures come from the server");
		check((await shown.first().getAttribute("src")).startsWith("/team/v1/messages/"), "by the message's own address");
		await page.reload();
		await answer.getByText("picture · answered by seer:4b").waitFor();
		await page.getByRole("button", { name: "Answer again" }).click();
		await page.getByText("2/2").waitFor();
		equal(await shown.count(), 2, "an answer made again is asked with the same pictures");
		await person.finished(page);
		const foreign = await w.watch.device(w.browser);
		const reply = await (await foreign.newPage()).request.get(w.url + (await shown.first().getAttribute("src")));
		equal(reply.status(), 401, "a picture without a session");
		await foreign.close();
		mock.models.pop();
		mock.tell("", { type: "models" });
	}, 90);

	test("a damaged database is told on every page", async () => {
		const page = get();
		mock.instance = { ...mock.instance, damaged: true };
		for (const path of ["/", "/admin/models"]) {
			await page.goto(w.url + path);
			const told = page.getByRole("alert").filter({ hasText: "Stored data is damaged." });
			await told.waitFor();
			const box = await told.boundingBox();
			check(box.x >= 0 && box.x + box.width <= 1280 && box.height < 100, "it stands in the window");
		}
		mock.instance = { ...mock.instance, damaged: false };
		await page.goto(w.url);
		await page.waitForSelector("#composer");
		equal(await page.getByText("Stored data is damaged.").count(), 0, "notices");
	});

	test("waiting is shown with the position", async () => {
		const page = get();
		await page.goto(w.url);
		await person.ask(page, "WAIT");
		await page.getByText("Waiting: position 3").waitFor();
		await person.finished(page);
	});

	test("3,000 long lines stay fluid, and reading above is not disturbed", async () => {
		const page = get();
		await page.goto(w.url);
		await page.evaluate(() => {
			window.__long = [];
			new PerformanceObserver((l) => {
				for (const e of l.getEntries()) window.__long.push(Math.round(e.duration));
			}).observe({ entryTypes: ["longtask"] });
		});
		await person.ask(page, "LONG");
		const length = () => page.locator(".prose").evaluate((e) => e.textContent.length);
		await until(async () => (await length()) > 20_000, "a long answer");
		await page.locator(".scroller").hover();
		await page.mouse.wheel(0, -1200);
		await page.getByRole("button", { name: "To the newest message" }).waitFor();
		const top = () => page.locator(".scroller").evaluate((e) => e.scrollTop);
		const at = await top();
		await page.waitForTimeout(600);
		check(Math.abs((await top()) - at) < 4, "the text one reads does not move");
		await page.getByRole("button", { name: "To the newest message" }).click();
		await until(async () => !(await person.streaming(page)), "the end", 60);
		equal(await page.locator(".prose li").count(), 3000, "lines");
		check(await page.locator(".scroller").evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 60), "it follows again");
		/* a busy machine stretches single tasks; a page that parses everything again hangs all the time */
		const long = (await page.evaluate(() => window.__long)).sort((a, b) => a - b);
		console.log(`# long tasks: ${long.join(" ")} ms`);
		check(long.filter((ms) => ms > 400).length <= 4, `the page hung ${long.join(", ")} ms`);
	}, 90);

	test("the page comes back by itself after the server was away", async () => {
		const page = get();
		await page.goto(w.url);
		await page.waitForSelector("#composer");
		const port = mock.port;
		mock.close();
		await page.getByText("Reconnecting …").waitFor();
		await mock.listen(port);
		await until(async () => (await page.getByText("Reconnecting …").count()) === 0, "the link is back", 40);
		await person.ask(page, w.short);
		await person.finished(page);
	}, 90);

	test("with less motion wished, nothing moves", async () => {
		const calm = await w.watch.device(w.browser, { reducedMotion: "reduce" });
		const p = await calm.newPage();
		await person.logIn(p, w.url, w.owner.email, w.owner.password);
		await person.ask(p, w.short);
		equal(await p.evaluate(() => document.getAnimations().filter((a) => a.playState === "running" && (a.effect?.getTiming().iterations ?? 1) === Infinity).length), 0, "endless animations");
		await calm.close();
	});
}
