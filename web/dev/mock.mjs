/* A stand-in for `tresor serve`: the team API from memory, answers from a script. For developing the
 * page and for the end-to-end tests that need no model. It is strict where the real one is: CSP,
 * CSRF, one-time links, and it serves the built page from dist/.
 *
 *   node dev/mock.mjs [--port 7070] [--speed 30] [--seed]     (--seed: a person and conversations) */
import { randomBytes } from "node:crypto";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { parseArgs } from "node:util";
import { answerFor, mockFleet, seed } from "./mock-data.mjs";
import { admin, Failure, MODEL_ROUTES, mockModel, ollama } from "./mock-models.mjs";

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2" };
export const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const id = () => randomBytes(16).toString("hex");

export class Mock {
	constructor({ speed = 30, dist = join(import.meta.dirname, "../dist") } = {}) {
		this.speed = speed; /* ms per piece */
		this.dist = dist;
		this.people = new Map();
		this.sessions = new Map();
		this.links = new Map();
		this.conversations = new Map();
		this.messages = new Map();
		this.keys = [];
		this.pulls = [];
		this.pullStep = 120_000_000; /* bytes each 200 ms */
		this.partial = new Map(); /* what a cancelled pull left, by its source */
		this.cancels = new Map();
		this.aliases = new Map();
		this.loaded = new Set();
		this.left = 0; /* streams that their readers left */
		this.pins = new Set(["mistral-small:24b"]);
		this.audit = [];
		this.streams = new Set();
		this.streamsMax = 0;
		this.failNext = null; /* a test may ask for one failing answer or request */
		this.hosts = [
			{ host: "registry.ollama.ai", port: 443, purpose: "Ollama registry", plain: false },
			{ host: "huggingface.co", port: 443, purpose: "Hugging Face", plain: false },
			{ host: "*.hf.co", port: 443, purpose: "Hugging Face", plain: false },
		];
		this.instance = { name: "Tresor", version: "0.1.0", key_protection: "file", recovery_sheet: false, tls: false, has_owner: false, damaged: false };
		this.models = [
			mockModel("smollm2", { digest: "4d2396b16114669389d7555c15a1592aad584750310f648edad5ca8c4eccda17", size: 92_000_000, family: "llama", parameters: "135M", quantization: "Q4_1", context: 8192, loaded: true, starter: true }),
		];
		this.standard = "smollm2";
	}

	link(kind, extra = {}) {
		const token = randomBytes(32).toString("base64url");
		this.links.set(token, { kind, ...extra });
		return token;
	}

	record(who, action, object = "", outcome = "ok") {
		this.audit.unshift({ seq: this.audit.length + 1, at_ms: Date.now(), actor: who?.id ?? "", actor_name: who?.name ?? "", action, object, outcome, address: "127.0.0.1", request: id().slice(0, 12) });
	}

	tell(person, event) {
		for (const s of this.streams) if (s.person === person || person === "") s.res.write(`data: ${JSON.stringify(event)}\n\n`);
	}

	async listen(port = 0) {
		this.server = createServer((req, res) => this.handle(req, res));
		await new Promise((r) => this.server.listen(port, "127.0.0.1", r));
		this.port = this.server.address().port;
		this.url = `http://127.0.0.1:${this.port}`;
		return this.url;
	}
	close() {
		for (const m of this.messages.values()) clearInterval(m.timer);
		this.server.closeAllConnections();
		this.server.close();
	}

	async handle(req, res) {
		res.setHeader("Content-Security-Policy", CSP);
		res.setHeader("X-Content-Type-Options", "nosniff");
		res.setHeader("Referrer-Policy", "no-referrer");
		const url = new URL(req.url, "http://x");
		if (!url.pathname.startsWith("/team/") && !url.pathname.startsWith("/api/")) return this.page(url.pathname, res);
		try {
			const chunks = [];
			for await (const c of req) chunks.push(c);
			const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : {};
			if (url.pathname.startsWith("/api/")) return ollama(this, url.pathname, this.who(req), body, res);
			const result = await this.route(req, url, body, res);
			if (result === STREAM) return;
			res.statusCode = result?.status ?? 200;
			res.setHeader("Content-Type", "application/json");
			res.end(result === undefined ? "" : JSON.stringify(result.json ?? result));
		} catch (e) {
			const f = e instanceof Failure ? e : new Failure("internal", 500, String(e));
			res.statusCode = f.status;
			res.setHeader("Content-Type", "application/json");
			res.end(JSON.stringify({ error: { slug: f.slug, message: f.message, request_id: id().slice(0, 12) } }));
		}
	}

	page(path, res) {
		let file = join(this.dist, path);
		if (!extname(path) || !file.startsWith(this.dist)) file = join(this.dist, "index.html");
		if (!existsSync(file) || !statSync(file).isFile()) {
			res.statusCode = 404;
			return res.end();
		}
		res.setHeader("Content-Type", TYPES[extname(file)] ?? "application/octet-stream");
		createReadStream(file).pipe(res);
	}

	who(req) {
		const cookie = /(?:^|; )tresor=(\w+)/.exec(req.headers.cookie ?? "")?.[1];
		const session = this.sessions.get(cookie);
		const person = session && this.people.get(session.person);
		if (!person || person.state !== "active") return null;
		return { person, session, cookie };
	}

	me(person, csrf) {
		const rights = ["self.read", "self.change", "self.session", "self.keys", "chat.use", "chat.read", "chat.change", "models.read"];
		if (person.role !== "member") rights.push("models.change", "people.read", "people.change", "metrics.read", "audit.read", "doctor.read", "egress.read", "egress.change");
		if (person.role === "owner") rights.push("recovery");
		const { password: _, ...shown } = person;
		return { person: shown, csrf, instance: this.instance, rights };
	}
	begin(person, res) {
		const cookie = id();
		const csrf = id();
		this.sessions.set(cookie, { person: person.id, csrf });
		res.setHeader("Set-Cookie", `tresor=${cookie}; HttpOnly; SameSite=Strict; Path=/`);
		this.record(person, "/team/v1/login");
		return this.me(person, csrf);
	}
	endSessions(person, except) {
		for (const [k, s] of this.sessions) if (s.person === person && k !== except) this.sessions.delete(k);
		for (const s of this.streams)
			if (s.person === person && s.cookie !== except) {
				s.res.write(`data: {"type":"session_ended"}\n\n`);
				s.res.end();
			}
	}
	addPerson({ email, name, role, password, language = "de" }) {
		const p = { id: id(), email, name, role, state: "active", language, address: "sie", theme: "system", created_ms: Date.now(), password };
		this.people.set(p.id, p);
		return p;
	}

	async route(req, url, body, res) {
		const path = url.pathname.slice("/team/v1".length);
		const key = `${req.method} ${path}`;
		if (key === "GET /instance") return this.instance;
		if (key === "POST /link/check") {
			const l = this.links.get(body.token);
			if (!l) throw new Failure("gone", 410);
			return { kind: l.kind, email: l.email, role: l.role };
		}
		if (key === "POST /link/accept") return this.accept(body, res);
		if (key === "POST /login") {
			const p = [...this.people.values()].find((x) => x.email === body.email);
			if (!p || p.password !== body.password || p.state !== "active") throw new Failure("bad_credentials", 401);
			return this.begin(p, res);
		}
		const me = this.who(req);
		if (!me) throw new Failure("login_required", 401);
		if (req.method !== "GET" && req.headers["x-tresor-csrf"] !== me.session.csrf) throw new Failure("csrf", 403);
		if (this.failNext?.(key)) {
			this.failNext = null;
			throw new Failure("busy", 503);
		}
		if (key === "GET /events") return this.events(me, res);
		for (const [method, pattern, run] of ROUTES) {
			const m = method === req.method && pattern.exec(path);
			if (m) return run.call(this, { me: me.person, session: me, body, param: m[1] && decodeURIComponent(m[1]), params: m.slice(1).map(decodeURIComponent), query: url.searchParams, res });
		}
		throw new Failure("not_found", 404);
	}

	accept(body, res) {
		const l = this.links.get(body.token);
		if (!l) throw new Failure("gone", 410);
		if ((body.password ?? "").length < 10) throw new Failure("invalid", 400, "the password is too short");
		this.links.delete(body.token);
		if (l.kind === "reset") {
			const p = this.people.get(l.person);
			p.password = body.password;
			this.endSessions(p.id);
			return this.begin(p, res);
		}
		const p = this.addPerson({ email: l.email ?? body.email, name: body.name, role: l.kind === "owner" ? "owner" : l.role, password: body.password, language: body.language });
		if (l.kind === "owner") this.instance = { ...this.instance, has_owner: true };
		this.record(p, "/team/v1/link/accept");
		return this.begin(p, res);
	}

	events(me, res) {
		res.setHeader("Content-Type", "text/event-stream");
		res.setHeader("Cache-Control", "no-store");
		res.write(`data: {"type":"hello","server_start_ms":${START}}\n\n`);
		const s = { res, person: me.person.id, cookie: me.cookie };
		this.streams.add(s);
		this.streamsMax = Math.max(this.streamsMax, this.streams.size);
		const beat = setInterval(() => res.write(": \n\n"), 10_000);
		res.on("close", () => {
			clearInterval(beat);
			this.streams.delete(s);
		});
		return STREAM;
	}

	/* ---- conversations ---- */
	mine(person, cid) {
		const c = this.conversations.get(cid);
		if (!c || c.owner !== person.id) throw new Failure("not_found", 404);
		return c;
	}
	shownConversation(c) {
		const { owner: _, ...rest } = c;
		return rest;
	}
	shownMessage(m) {
		const { timer: _, conversation: __, rest: ___, files: ____, ...shown } = m;
		return shown;
	}
	touch(c, change = {}) {
		Object.assign(c, change, { changed_ms: Date.now() });
		this.tell(c.owner, { type: "conversation", conversation: this.shownConversation(c) });
	}
	newConversation(owner, model, title = "") {
		const c = { id: id(), title, model: model || this.standard, label: 1, created_ms: Date.now(), changed_ms: Date.now(), generating: false, owner };
		this.conversations.set(c.id, c);
		return c;
	}
	newMessage(c, fields) {
		const m = { id: id(), parent: null, role: "user", content: "", thinking: "", state: "done", label: 1, created_ms: Date.now(), conversation: c.id, ...fields };
		this.messages.set(m.id, m);
		return m;
	}
	/* New ones, and those of this conversation again: [{place, type, bytes}]. */
	takePictures(c, list = []) {
		if (list.length > 16) throw new Failure("invalid", 400, "pictures: a message may have 16 pictures");
		return list.map((ref, place) => {
			const [id_, at] = ref.split("/");
			if (!ref.startsWith("data:")) {
				const m = this.messages.get(id_);
				if (m?.conversation !== c.id || !m.files?.[at]) throw new Failure("not_found", 404, `pictures[${place}]: this conversation has no such picture`);
				return { ...m.files[at], place };
			}
			const bytes = Buffer.from(/;base64,(.*)$/.exec(ref)?.[1] ?? "", "base64");
			const type = { 0x89504e47: "image/png", 0xffd8ffe0: "image/jpeg", 0x52494646: "image/webp" }[bytes.length > 4 ? bytes.readUInt32BE(0) : 0];
			if (!type) throw new Failure("invalid", 400, `pictures[${place}]: it is not a picture: PNG, JPEG and WebP are read`);
			return { place, type, bytes };
		});
	}
	/* Who answers, and instead of whom. */
	eyes(c, parent, pictures) {
		const sees = (m) => m?.capabilities.includes("vision");
		let any = pictures.length > 0;
		for (let m = this.messages.get(parent); m; m = this.messages.get(m.parent)) any ||= Boolean(m.files?.length);
		if (!any || sees(this.models.find((m) => m.name === c.model))) return { model: c.model };
		const other = this.models.find(sees);
		if (!other) throw new Failure("unsupported", 400, "no model here can see pictures");
		return { model: other.name, instead_of: c.model };
	}
	finish(c, m, state, extra = {}) {
		clearInterval(m.timer);
		Object.assign(m, { state, ...extra });
		if (state !== "failed") m.stats = { prompt_tokens: 38, cached_tokens: 24, answer_tokens: Math.ceil(m.content.length / 4), queue_ms: 2, prompt_ms: 61, answer_ms: Math.max(1, Date.now() - m.created_ms) };
		this.tell(c.owner, { type: "message", conversation: c.id, message: this.shownMessage(m) });
		this.touch(c, { generating: false });
	}
	generate(c, m, question) {
		const pieces = answerFor(question);
		let at = 0;
		m.timer = setInterval(() => {
			const piece = pieces[at++];
			if (piece === undefined) return this.finish(c, m, "done");
			if (typeof piece === "object") return this.finish(c, m, "failed", { error: { slug: "engine_failed", text: "the engine ended with signal 9" } });
			const offset = m.content.length;
			m.content += piece;
			this.tell(c.owner, { type: "delta", conversation: c.id, message: m.id, offset, text: piece, thinking: false });
		}, this.speed);
	}
}

const STREAM = Symbol("stream");
const START = Date.now();
const shown = ({ password: _, ...p }) => p;
const invitation = (mock, token) => ({ link: `${mock.url}/#/link/${token}`, expires_ms: Date.now() + 7 * 86_400_000 });

const ROUTES = [
	["GET", /^\/me$/, function ({ me, session }) { return this.me(me, session.session.csrf); }],
	["PATCH", /^\/me$/, function ({ me, body, session }) { Object.assign(me, body); return this.me(me, session.session.csrf); }],
	["POST", /^\/me\/password$/, function ({ me, body, session }) {
		if (me.password !== body.old) throw new Failure("bad_credentials", 401);
		me.password = body.new;
		this.endSessions(me.id, session.cookie);
	}],
	["POST", /^\/logout$/, function ({ session, me }) { this.sessions.delete(session.cookie); this.record(me, "logout"); }],
	...MODEL_ROUTES,
	["GET", /^\/fleet$/, function ({ me }) { admin(me); return mockFleet(this); }],
	["PUT", /^\/pins\/([^/]+)$/, function ({ me, param }) { admin(me); this.pins.add(param); return {}; }],
	["DELETE", /^\/pins\/([^/]+)$/, function ({ me, param }) { admin(me); this.pins.delete(param); return {}; }],
	["GET", /^\/advise$/, function ({ me }) { admin(me); return JSON.parse(readFileSync(join(import.meta.dirname, "mock-advise.json"), "utf8")); }],
	["GET", /^\/search$/, function ({ me, query }) {
		const q = (query.get("q") ?? "").trim().toLowerCase();
		if (!/[\p{L}\p{N}]/u.test(q)) throw new Failure("invalid", 400, "there is no word to look for");
		const from = Number(query.get("before") ?? 0);
		const limit = Number(query.get("limit") ?? 20);
		const all = [...this.messages.values()].filter((m) => this.conversations.get(m.conversation)?.owner === me.id && m.content.toLowerCase().includes(q)).sort((a, b) => b.created_ms - a.created_ms);
		const results = all.slice(from, from + limit).map((m) => {
			const at = m.content.toLowerCase().indexOf(q);
			const said = [[m.content.slice(Math.max(0, at - 60), at), false], [m.content.slice(at, at + q.length), true], [m.content.slice(at + q.length, at + q.length + 180), false]];
			return { conversation: m.conversation, title: this.conversations.get(m.conversation).title, message: m.id, role: m.role, created_ms: m.created_ms, said: said.filter(([t]) => t !== "").map(([text, hit]) => ({ text, hit })) };
		});
		return { results, left: 0, ...(from + limit < all.length ? { next: String(from + limit) } : {}) };
	}],
	["GET", /^\/conversations$/, function ({ me, query }) {
		const all = [...this.conversations.values()].filter((c) => c.owner === me.id).sort((a, b) => b.changed_ms - a.changed_ms);
		const from = Number(query.get("before") ?? 0);
		const limit = Number(query.get("limit") ?? 50);
		const part = all.slice(from, from + limit);
		return { conversations: part.map((c) => this.shownConversation(c)), next: from + limit < all.length ? String(from + limit) : "" };
	}],
	["POST", /^\/conversations$/, function ({ me, body }) {
		const c = this.newConversation(me.id, body.model, body.title);
		this.tell(me.id, { type: "conversation", conversation: this.shownConversation(c) });
		return { status: 201, json: this.shownConversation(c) };
	}],
	["GET", /^\/conversations\/(\w+)$/, function ({ me, param }) {
		const c = this.mine(me, param);
		return { conversation: this.shownConversation(c), messages: [...this.messages.values()].filter((m) => m.conversation === c.id).map((m) => this.shownMessage(m)) };
	}],
	["PATCH", /^\/conversations\/(\w+)$/, function ({ me, param, body }) { const c = this.mine(me, param); this.touch(c, body); return this.shownConversation(c); }],
	["DELETE", /^\/conversations\/(\w+)$/, function ({ me, param }) {
		const c = this.mine(me, param);
		for (const m of this.messages.values()) if (m.conversation === c.id) { clearInterval(m.timer); this.messages.delete(m.id); }
		this.conversations.delete(c.id);
		this.tell(me.id, { type: "conversation_deleted", id: c.id });
	}],
	["POST", /^\/conversations\/(\w+)\/messages$/, function ({ me, param, body }) {
		const c = this.mine(me, param);
		const last = [...this.messages.values()].filter((m) => m.conversation === c.id).at(-1);
		const parent = !body.parent ? (last?.id ?? null) : body.parent === "root" ? null : body.parent;
		const files = this.takePictures(c, body.pictures);
		const who = this.eyes(c, parent, files);
		const shown_ = files.map(({ place, type }) => ({ place, type, width: 1, height: 1 }));
		const q = this.newMessage(c, { content: body.content, parent, files, ...(files.length ? { pictures: shown_ } : {}) });
		const model = this.models.find((m) => m.name === who.model);
		const a = this.newMessage(c, { role: "assistant", parent: q.id, state: "streaming", ...who, model_digest: model?.digest ?? "", engine_build: "llama.cpp 0.5.0 cpu", template_hash: "9c1d2f4e8b7a6053", created_ms: Date.now() + 1 });
		this.touch(c, { generating: true, ...(c.title === "" ? { title: body.content.slice(0, 60) } : {}) });
		this.tell(me.id, { type: "message", conversation: c.id, message: this.shownMessage(q) });
		this.tell(me.id, { type: "message", conversation: c.id, message: this.shownMessage(a) });
		if (body.content.includes("WAIT")) this.tell(me.id, { type: "queue", conversation: c.id, message: a.id, position: 3, loading: false });
		setTimeout(() => this.messages.has(a.id) && a.state === "streaming" && this.generate(c, a, body.content), body.content.includes("WAIT") ? 3000 : 150);
		return { status: 201, json: { message: this.shownMessage(q), answer: this.shownMessage(a) } };
	}],
	["GET", /^\/messages\/(\w+)$/, function ({ me, param }) {
		const m = this.messages.get(param);
		if (!m) throw new Failure("not_found", 404);
		this.mine(me, m.conversation);
		return this.shownMessage(m);
	}],
	["GET", /^\/messages\/(\w+)\/pictures\/(\d+)$/, function ({ me, params: [param, place], res }) {
		const m = this.messages.get(param);
		if (!m?.files?.[place]) throw new Failure("not_found", 404);
		this.mine(me, m.conversation);
		res.setHeader("Content-Type", m.files[place].type);
		res.setHeader("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'");
		res.setHeader("Cache-Control", "private, no-store");
		res.end(m.files[place].bytes);
		return STREAM;
	}],
	["POST", /^\/messages\/(\w+)\/stop$/, function ({ me, param }) {
		const m = this.messages.get(param);
		if (!m) throw new Failure("not_found", 404);
		const c = this.mine(me, m.conversation);
		if (m.state === "streaming") this.finish(c, m, "stopped");
		return this.shownMessage(m);
	}],
	["GET", /^\/people$/, function ({ me }) { admin(me); return { people: [...this.people.values()].map(shown) }; }],
	["POST", /^\/invitations$/, function ({ me, body }) {
		admin(me);
		if ([...this.people.values()].some((p) => p.email === body.email)) throw new Failure("exists", 409);
		this.record(me, "people.invite");
		return invitation(this, this.link("invite", { email: body.email, role: body.role }));
	}],
	["PATCH", /^\/people\/(\w+)$/, function ({ me, param, body }) {
		admin(me);
		const p = this.people.get(param);
		Object.assign(p, body);
		if (p.state === "disabled") this.endSessions(p.id);
		this.record(me, "people.change", p.id);
		return shown(p);
	}],
	["DELETE", /^\/people\/(\w+)$/, function ({ me, param }) { admin(me); this.endSessions(param); this.people.delete(param); this.record(me, "people.delete", param); }],
	["POST", /^\/people\/(\w+)\/reset$/, function ({ me, param }) { admin(me); return invitation(this, this.link("reset", { person: param, email: this.people.get(param)?.email })); }],
	["GET", /^\/keys$/, function ({ me }) { return { keys: this.keys.filter((k) => k.person === me.id) }; }],
	["POST", /^\/keys$/, function ({ me, body }) {
		const secret = `tsr_${id()}_${randomBytes(36).toString("base64url")}`;
		const key = { id: id(), name: body.name, hint: secret.slice(-4), scopes: body.scopes || "chat,models.read", created_ms: Date.now(), expires_ms: body.expires_ms, person: me.id };
		this.keys.unshift(key);
		this.record(me, "keys.new", key.id);
		return { status: 201, json: { key, secret } };
	}],
	["DELETE", /^\/keys\/(\w+)$/, function ({ param }) { const k = this.keys.find((x) => x.id === param); k.revoked_ms = Date.now(); }],
	["GET", /^\/audit\/verify$/, function ({ me }) { admin(me); return { intact: true, records: this.audit.length, report: "" }; }],
	["GET", /^\/audit$/, function ({ me, query }) {
		admin(me);
		const before = Number(query.get("before") ?? Infinity);
		const part = this.audit.filter((e) => e.seq < before).slice(0, 100);
		return { entries: part, next: part.at(-1)?.seq > 1 ? part.at(-1).seq : 0 };
	}],
	["GET", /^\/doctor$/, function ({ me }) {
		admin(me);
		return { checks: [
			{ name: "key", state: "warn", text: "the key is in a file: protects copied data, not a stolen machine", cure: "start with --key passphrase, or seal it: tresor key seal" },
			{ name: "sandbox", state: "ok", text: "all roles are locked: seccomp, Landlock", cure: "" },
			{ name: "database", state: "ok", text: "every page is intact", cure: "" },
			{ name: "disk", state: "ok", text: "412 GB free", cure: "" },
		] };
	}],
	["GET", /^\/egress$/, function ({ me }) { admin(me); return { hosts: this.hosts }; }],
	["PUT", /^\/egress$/, function ({ me, body }) { admin(me); this.hosts.push({ port: 443, plain: false, ...body }); }],
	["DELETE", /^\/egress\/(.+)$/, function ({ me, param }) { admin(me); this.hosts = this.hosts.filter((h) => h.host !== param); }],
	["POST", /^\/recovery$/, function ({ me }) {
		if (me.role !== "owner") throw new Failure("forbidden", 403);
		this.instance = { ...this.instance, recovery_sheet: true };
		return { code: "K7QM-2XHD-9TRW-4BNC-VE6P-J3YA-ZL8F-5GSU" };
	}],
];

if (import.meta.filename === process.argv[1]) {
	const { values } = parseArgs({ options: { port: { type: "string", default: "7070" }, speed: { type: "string", default: "30" }, seed: { type: "boolean", default: false } } });
	const mock = new Mock({ speed: Number(values.speed) });
	await mock.listen(Number(values.port));
	if (values.seed) console.log(`log in as ${seed(mock).email} with ${seed.password}`);
	console.log(`open ${mock.url}/#/link/${mock.link("owner")}`);
}
