/* The page against the program with the starter model. */
import { execFileSync, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { browser, check, equal, person, ROOT, runAll, sameBeginning, sideways, tempDir, test, unnamed, until, Watch } from "./lib.mjs";
import { lastTest, sharedTests } from "./shared.mjs";

const freePort = () =>
	new Promise((ok) => {
		const s = createServer().listen(0, "127.0.0.1", () => {
			const { port } = s.address();
			s.close(() => ok(port));
		});
	});

class Program {
	async start() {
		this.bin = resolve(process.env.TRESOR_BIN ?? join(ROOT, "build/tresor"));
		this.home = tempDir("tresor-e2e-");
		this.data = join(this.home, "data");
		this.env = { ...process.env, HOME: this.home, XDG_CONFIG_HOME: join(this.home, "config") };
		delete this.env.TRESOR_DATA;
		this.port = await freePort();
		this.url = `http://127.0.0.1:${this.port}`;
		const log = openSync(join(this.home, "log"), "a");
		this.process = spawn(this.bin, ["serve", "--data", this.data, "--listen", `127.0.0.1:${this.port}`], { env: this.env, stdio: ["ignore", log, log] });
		closeSync(log);
		await until(async () => {
			if (this.process.exitCode !== null) throw new Error(`serve ended: ${this.log()}`);
			return (await fetch(`${this.url}/healthz`).catch(() => null))?.ok;
		}, "/healthz", 60);
	}
	log() {
		return readFileSync(join(this.home, "log"), "utf8").slice(-3000);
	}
	command(...args) {
		return execFileSync(this.bin, [...args, "--data", this.data], { env: this.env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
	}
	/* The process of a role, by its command line: a child of the keeper. */
	role(name) {
		for (const pid of readdirSync("/proc").filter((x) => /^\d+$/.test(x))) {
			try {
				const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
				const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
				if (Number(parent) === this.process.pid && args.includes("role") && args.includes(name)) return Number(pid);
			} catch {
				/* gone meanwhile */
			}
		}
		return 0;
	}
	async stop() {
		if (this.process?.exitCode === null) {
			this.process.kill("SIGTERM");
			await until(() => this.process.exitCode !== null || this.process.signalCode !== null, "the end of serve", 20).catch(() => this.process.kill("SIGKILL"));
		}
		rmSync(this.home, { recursive: true, force: true });
	}
}

export async function run() {
	const p = new Program();
	const b = await browser();
	try {
		await p.start();
		p.command("pull", "starter:smollm2", "--as", "smollm2");
		const w = {
			url: p.url, browser: b, watch: new Watch(p.url), owner: { email: "ada@example.org", password: "ein guter langer Satz" },
			ownerLink: async () => {
				const link = /https?:\S+#\/link\/\S+/.exec(p.command("owner-link"))?.[0] ?? "";
				return link.replace(/^https?:\/\/[^/]+/, p.url);
			},
			long: "Write a long story about a lighthouse keeper, his dog, and a great storm. Tell it in many paragraphs.",
			short: "Say hello.",
			keyWorks: async (key, wanted) => {
				const r = await fetch(`${p.url}/v1/models`, { headers: { Authorization: `Bearer ${key}` } });
				equal(r.status, wanted ? 200 : 401, "what /v1/models says to the key");
			},
		};
		const t = sharedTests(w);
		programOnly(w, p, t);
		lastTest(w);
		return await runAll(w.watch);
	} catch (e) {
		console.log(`Bail out! ${e.stack ?? e}`);
		return 1;
	} finally {
		await b.close();
		await p.stop();
	}
}

function programOnly(w, p, { page: get }) {
	for (const role of ["engine", "server"])
		test(`kill -9 of the ${role} in mid-answer: the page goes on by itself`, async () => {
			const page = get();
			for (let attempt = 0; ; attempt++) {
				await page.goto(w.url);
				await person.ask(page, w.long);
				const before = await person.growing(page, 20);
				await page.waitForTimeout(500); /* stored every 250 ms: what was said by then may not change */
				const pid = p.role(role);
				check(pid > 0, `the ${role} runs`);
				process.kill(pid, "SIGKILL");
				const end = await person.finished(page);
				sameBeginning(end, before);
				if (end.length <= before.length && attempt < 3) continue;
				check(end.length > before.length, "the answer went on");
				await page.reload();
				await page.waitForSelector(".answer .prose > *");
				equal(await person.finished(page), end, "what the server keeps");
				return;
			}
		}, 200);

	test("search: in any form, on another branch, by the keyboard alone, on a phone, and gone when it is deleted", async () => {
		const page = get();
		await page.goto(w.url);
		await person.ask(page, "Nenne die Kündigungsfristen im Mietvertrag.");
		await person.finished(page);
		const first = page.url();
		await page.locator(".question").hover();
		await page.getByRole("button", { name: "Edit and send again", exact: true }).click();
		await page.locator(".question textarea").fill("Say hello.");
		await page.keyboard.press("Enter");
		await page.getByText("2/2").first().waitFor();
		await person.finished(page);
		await page.goto(w.url);
		await page.waitForSelector("#composer");
		await page.keyboard.press("Control+k");
		const palette = page.getByRole("dialog", { name: "Search" });
		await palette.waitFor();
		equal(await unnamed(page), [], "controls without a name");
		await page.keyboard.type("frist vertrag");
		const hit = palette.getByRole("option").filter({ hasText: "Kündigungsfristen" });
		await hit.first().waitFor();
		equal(await hit.first().locator("mark").allInnerTexts(), ["Kündigungsfristen", "Mietvertrag"], "what is marked");
		while (!(await hit.first().getAttribute("aria-selected")).includes("true")) await page.keyboard.press("ArrowDown");
		await page.keyboard.press("Enter");
		await page.waitForURL((u) => u.href.startsWith(first) && u.hash.startsWith("#m-"));
		const question = page.locator(".question").filter({ hasText: "Kündigungsfristen" });
		await question.waitFor();
		check((await page.getByText("1/2").count()) > 0, "the branch that has it is shown");
		check(await question.evaluate((e) => e.parentElement === document.activeElement), "the keyboard is at the message");

		const phone = await w.watch.device(w.browser, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
		const small = await phone.newPage();
		await person.logIn(small, w.url, w.owner.email, w.owner.password);
		await small.getByRole("button", { name: "Open sidebar" }).click();
		await small.getByRole("button", { name: /^Search/ }).click();
		await small.getByRole("combobox", { name: "Search all messages" }).fill("Fristen");
		await small.getByRole("option").filter({ hasText: "Kündigungsfristen" }).first().click();
		await small.locator(".question").filter({ hasText: "Kündigungsfristen" }).waitFor();
		equal(await sideways(small), 0, "sideways");
		await phone.close();

		await person.menu(page, page.locator("nav .row.here").getByRole("button"), "Delete");
		await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
		await page.waitForURL(w.url + "/");
		await page.keyboard.press("Control+k");
		await palette.waitFor();
		await page.keyboard.type("Kündigungsfristen");
		await palette.getByText("Nothing found for").waitFor();
		await page.keyboard.press("Escape");
	}, 150);

	test("models: got from the page, loaded and unloaded, an alias by exception and back, side by side", async () => {
		const page = get();
		await page.goto(`${w.url}/models/get`);
		await page.getByLabel("Name or address of the model").fill("starter:gemma3-270m");
		await page.keyboard.press("Enter");
		await until(async () => p.command("list").includes("gemma3-270m"), "the second model", 60);
		await page.goto(`${w.url}/models`);
		await page.getByRole("button", { name: "starter:gemma3-270m", exact: true }).click();
		const details = page.getByRole("dialog", { name: "starter:gemma3-270m" });
		await details.getByText("Everyone in the team may ask it.").waitFor();
		check(/[0-9a-f]{64}/.test(await details.innerText()), "the digest");
		await page.keyboard.press("Escape");
		await page.getByRole("button", { name: "Load starter:gemma3-270m" }).click();
		await page.getByRole("button", { name: "Unload starter:gemma3-270m" }).waitFor({ timeout: 60_000 });
		await page.getByRole("button", { name: "Unload starter:gemma3-270m" }).click();
		await page.getByRole("button", { name: "Load starter:gemma3-270m" }).waitFor();
		await page.goto(`${w.url}/models/aliases`);
		await page.getByRole("button", { name: "New alias" }).click();
		await page.getByLabel("Name", { exact: true }).fill("assistant");
		await page.getByLabel("Answers with").selectOption("smollm2:latest");
		await page.getByRole("button", { name: "Make alias" }).click();
		await page.getByLabel("Choose a candidate").selectOption("starter:gemma3-270m");
		await page.getByRole("button", { name: "Set", exact: true }).click();
		await page.getByLabel("New prompts").fill("Say hello.\nSay goodbye.");
		await page.getByRole("button", { name: "Add 2 prompts" }).click();
		await page.getByText("18 more prompts are needed below.").waitFor();
		await page.getByLabel("Longest answer").selectOption("128");
		await page.getByRole("button", { name: "Start a trial" }).click();
		await page.getByText("waits for a decision").waitFor({ timeout: 120_000 });
		await page.getByRole("link", { name: /^Answers of the trial/ }).click();
		equal(await page.getByRole("article", { name: /^Prompt / }).count(), 2, "pairs of answers");
		equal(await page.getByRole("button", { name: "Accept" }).isDisabled(), true, "two prompts are too few");
		await page.goto(`${w.url}/models/aliases/assistant`);
		await page.getByRole("button", { name: "Promote without a trial" }).click();
		await page.getByLabel("Reason").fill("a test");
		await page.locator("dialog").getByRole("button", { name: "Promote" }).click();
		await page.getByText("Without a trial: a test").waitFor();
		await page.getByRole("button", { name: "Go back to this one" }).click();
		await page.getByText("assistant answers with smollm2:latest again").waitFor();
		const before = (await page.evaluate(async () => (await (await fetch("/team/v1/conversations")).json()).conversations)).length;
		await page.goto(`${w.url}/models/compare`);
		await page.getByLabel("Model 1").selectOption("assistant");
		await page.getByLabel("Model 2").selectOption("assistant:previous");
		await page.getByLabel("A question to all of them").fill(w.short);
		await page.getByRole("button", { name: "Ask", exact: true }).click();
		const sides = page.getByRole("article", { name: /^Answer from/ });
		await until(async () => (await sides.locator(".prose").evaluateAll((all) => all.map((e) => e.textContent.length))).every((n) => n > 0), "two answers", 90);
		await page.getByRole("button", { name: "Stop" }).click({ timeout: 1000 }).catch(() => {}); /* they may be short */
		equal((await page.evaluate(async () => (await (await fetch("/team/v1/conversations")).json()).conversations)).length, before, "conversations");
		p.command("alias", "rm", "assistant");
	}, 300);

	test("the start of the page is at most 150 KB over the wire", async () => {
		const device = await w.watch.device(w.browser);
		const page = await device.newPage();
		const cdp = await device.newCDPSession(page);
		await cdp.send("Network.enable");
		let bytes = 0;
		cdp.on("Network.loadingFinished", (e) => (bytes += e.encodedDataLength));
		await page.goto(w.url);
		await page.waitForSelector("input[type=password]");
		await page.waitForTimeout(500);
		console.log(`# ${bytes} bytes until the log-in page`);
		check(bytes > 20_000 && bytes <= 150_000, `${bytes} bytes`);
		await device.close();
	});
}
