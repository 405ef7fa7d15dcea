/* What all checks share: the list of them, TAP, their results, and what they are made of. */
import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { crc32, deflateSync } from "node:zlib";

export const URL = process.env.CONFORM_URL;
export const KEY = process.env.CONFORM_KEY;
export const KEY_READ = process.env.CONFORM_KEY_READ; /* may only see which models there are */
export const HI = [{ role: "user", content: "Say hello." }];

/* ---- checks, and how they end ---- */

class Outcome {
	constructor(result, note) {
		this.result = result;
		this.note = note;
	}
}
/* Returned by a check whose subject is other than the original on purpose, or refused by name. */
export const differs = (note) => new Outcome("differs", note);
export const unsupported = (note) => new Outcome("unsupported", note);

const planned = [];
/* checks("openai-js")("chat", "stop", "ends the text before it", async () => { .. }) */
export function checks(client) {
	return (feature, field, behaviour, run, seconds = 60) => planned.push({ client, feature, field, behaviour, run, seconds });
}

async function limited(t) {
	let timer;
	const late = new Promise((_, no) => {
		timer = setTimeout(() => no(new Error(`took longer than ${t.seconds} s`)), t.seconds * 1000);
	});
	try {
		return await Promise.race([t.run(), late]);
	} finally {
		clearTimeout(timer);
	}
}

function record(t, result, note) {
	const { client, feature, field } = t;
	if (process.env.CONFORM_RESULTS) appendFileSync(process.env.CONFORM_RESULTS, JSON.stringify({ client, feature, field, result, note }) + "\n");
}

/* One after the other: what is equal to the bit needs a machine that does nothing else meanwhile. */
export async function runAll() {
	const only = process.env.CONFORM_ONLY;
	let number = 0, failed = 0;
	for (const t of planned) {
		const name = `${t.client}: ${t.feature}: ${t.field} ${t.behaviour}`;
		if (only && !name.includes(only)) continue;
		const started = Date.now();
		try {
			const end = await limited(t);
			record(t, end instanceof Outcome ? end.result : "ok", end?.note ?? "");
			console.log(`ok ${++number} - ${name}\n# ${Date.now() - started} ms`);
		} catch (e) {
			failed++;
			record(t, "fails", String(e.message ?? e).split("\n")[0]);
			console.log(`not ok ${++number} - ${name}`);
			for (const line of String(e.stack ?? e).split("\n").slice(0, 16)) console.log(`# ${line}`);
		}
	}
	console.log(`1..${number}`);
	return failed;
}

/* ---- refusals ---- */

const status = (e) => e.status ?? e.status_code;

/* Its error, which has this status and says this. */
export async function refused(ask, code, says) {
	let value;
	try {
		value = await ask();
	} catch (e) {
		assert.equal(status(e), code, String(e));
		if (says) assert.match(String(e.error?.message ?? e.error?.error?.message ?? e.message), says);
		return e;
	}
	assert.fail(`was not refused: ${JSON.stringify(value)?.slice(0, 300)}`);
}

/* For what this version refuses by name: once it does not, it has to pass `holds`. */
export async function refusedOr(ask, says, why, holds) {
	let value;
	try {
		value = await ask();
	} catch (e) {
		if (!(status(e) >= 400 && status(e) < 500) && status(e) !== 501) throw e;
		assert.match(String(e.message), says);
		return unsupported(why);
	}
	return holds(value);
}

/* ---- the server beside the clients ---- */

export async function http(method, path, body, key = KEY) {
	const r = await fetch(URL + path, { method, headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }, body: body && JSON.stringify(body) });
	const text = await r.text();
	if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${text}`);
	return r.headers.get("content-type")?.startsWith("application/json") ? JSON.parse(text) : text;
}

export async function tokens(content, model = "smollm2") {
	return (await http("POST", "/api/tokenize", { model, content })).tokens;
}

async function gauge(name) {
	return Number((await http("GET", "/metrics")).match(new RegExp(`^tresor_generations_${name} (\\d+)`, "m"))[1]);
}
export const active = () => gauge("active");
export const waiting = () => gauge("waiting");

export async function until(ask, what, seconds = 15) {
	const end = Date.now() + seconds * 1000;
	for (;;) {
		const v = await ask();
		if (v) return v;
		if (Date.now() > end) assert.fail(`never: ${what}`);
		await new Promise((r) => setTimeout(r, 20));
	}
}

/* An answer that takes long, whatever the model would rather say. */
export const LONG_SCHEMA = { type: "object", properties: { a: { type: "array", items: { type: "integer" }, minItems: 500 } }, required: ["a"], additionalProperties: false };

/* Whoever left, nothing runs for them, and something did run. */
export async function stops(begin, leave) {
	const gone = begin();
	gone.catch(() => {}); /* looked at below */
	await until(async () => (await active()) > 0, "the answer begins", 20);
	leave();
	await assert.rejects(gone);
	await until(async () => (await active()) === 0, "the answer ends with its reader");
}

/* ---- small things ---- */

export async function all(stream) {
	const list = [];
	for await (const x of stream) list.push(x);
	return list;
}

/* Asks with each seed and gives the different answers. */
export async function texts(seeds, ask) {
	const found = [];
	for (const seed of seeds) found.push(await ask(seed));
	return new Set(found);
}

/* A grey PNG of 28 x 28, which is the size the projector looks at; another shade is another picture. */
export function png(shade) {
	const chunk = (kind, data) => {
		const b = Buffer.concat([Buffer.from(kind), data]), out = Buffer.alloc(b.length + 8);
		out.writeUInt32BE(data.length, 0);
		b.copy(out, 4);
		out.writeUInt32BE(crc32(b), b.length + 4);
		return out;
	};
	const head = Buffer.alloc(13);
	head.writeUInt32BE(28, 0);
	head.writeUInt32BE(28, 4);
	head[8] = 8;
	const rows = Buffer.alloc(29 * 28);
	for (let y = 0; y < 28; y++) for (let x = 0; x < 28; x++) rows[29 * y + 1 + x] = (shade * (x + 3 * y + 1)) & 255;
	return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]).toString("base64");
}

export function length(v) {
	return Math.sqrt(v.reduce((s, x) => s + x * x, 0));
}
export function near(a, b, by = 1e-5) {
	assert.equal(a.length, b.length);
	const worst = Math.max(...a.map((x, i) => Math.abs(x - b[i])));
	assert.ok(worst < by, `differ by ${worst}`);
}
export { assert };
