/* The page against the program with the starter model. */
import { execFileSync, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { browser, check, equal, person, ROOT, runAll, tempDir, test, until, Watch } from "./lib.mjs";
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
				check(end.startsWith(before.slice(0, 20)), "the answer begins as before");
				if (end.length <= before.length && attempt < 3) continue;
				check(end.length > before.length, "the answer went on");
				await page.reload();
				await page.waitForSelector(".answer .prose > *");
				equal(await person.finished(page), end, "what the server keeps");
				return;
			}
		}, 200);

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
