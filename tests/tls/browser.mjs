/* A person at another desk: browser.mjs HOST PORT PIN EMAIL PASSWORD, run inside that desk's network.
 * Prints one JSON object. PIN is the server's key, so that Chromium trusts exactly that one. */
import { createRequire } from "node:module";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { person } from "../e2e/lib.mjs";

const root = process.env.TRESOR_ROOT ?? join(import.meta.dirname, "../..");
const { chromium } = createRequire(join(root, "web/package.json"))("playwright-core");
const [host, port, pin, email, password] = process.argv.slice(2);
const name = "ki.example.test";
const common = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", `--host-resolver-rules=MAP ${name} ${host}`];
const open = (...more) =>
	chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "desk-")), {
		executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: [...common, ...more], locale: "en-US",
	});

const said = {};
const desk = await open(`--ignore-certificate-errors-spki-list=${pin}`);
const page = await desk.newPage();
const url = `https://${name}:${port}/`;
const first = await page.goto(url);
said.protocol = (await first.securityDetails())?.protocol;
await person.logIn(page, url, email, password);
said.secure = await page.evaluate(() => isSecureContext);
await person.ask(page, "Say hello.");
said.answer = await person.finished(page);
await desk.close();

const stranger = await open();
const other = await stranger.newPage();
/* first, before anybody told this browser to come by TLS only */
said.plain = await other.goto(`http://${name}:${port}/`).then(async (r) => `${r?.url()} ${r?.status()} ${await other.locator("input").count()}`, () => "no answer");
said.stranger = await other.goto(url).then(() => "trusted", (e) => (/ERR_CERT_AUTHORITY_INVALID/.test(e.message) ? "refused" : e.message));
await stranger.close();
console.log(JSON.stringify(said));
