/* The stand-in's models: pulls that can be cancelled and go on, loading, aliases with trials, and the
 * two routes of Ollama that the page uses. */
import { randomBytes } from "node:crypto";
import { answerFor } from "./mock-data.mjs";

const id = () => randomBytes(13).toString("hex");
const hex = () => randomBytes(32).toString("hex");
const PROMPTS_MIN = 20;

export class Failure extends Error {
	constructor(slug, status, message) {
		super(message ?? slug);
		this.slug = slug;
		this.status = status;
	}
}
export const admin = (me) => {
	if (me.role === "member") throw new Failure("forbidden", 403);
};

export function mockModel(name, more = {}) {
	return { name, digest: hex(), model_digest: name, size: 4_680_000_000, family: "qwen2", parameters: "7B", quantization: "Q4_K_M", context: 32768, loaded: false, starter: false, licence: "Apache-2.0", modified_ms: Date.now(), kept: false, capabilities: ["completion", "tools"], ...more };
}

function find(mock, name) {
	const model = mock.models.find((m) => m.name === name);
	if (!model) throw new Failure("not_found", 404, `model "${name}" not found`);
	return model;
}
function aliasOf(mock, name) {
	const a = mock.aliases.get(name);
	if (!a) throw new Failure("not_found", 404, `there is no alias "${name}"`);
	return a;
}
const shownAlias = ({ prompts: _, trials: __, ...a }) => a;
const shownTrial = ({ answers: _, ...t }) => t;
const changed = (mock) => mock.tell("", { type: "models" });
function letIn(me, model, more = {}) {
	return { model: model.name, digest: model.digest, person: me.id, person_name: me.name, since_ms: Date.now(), ...more };
}

/* ---- pulls ---- */
function startPull(mock, me, body) {
	admin(me);
	if (body.name.includes("evil")) throw new Failure("egress_refused", 403, "evil.example:443 is not on the list of allowed hosts");
	const source = body.name;
	const pull = { id: id(), name: body.as ?? source, source, licence: "", state: "running", status: "pulling manifest", total: 0, completed: 0 };
	const bad = source.includes("nowhere");
	let steps = 0;
	mock.pulls.unshift(pull);
	const tell = () => mock.tell(me.id, { type: "pull", pull: { ...pull } });
	const end = (state, error) => {
		clearInterval(timer);
		Object.assign(pull, { state, status: state === "done" ? "success" : "failed", ...(error ? { error } : {}) });
		mock.partial.set(source, state === "done" ? 0 : pull.completed);
		tell();
	};
	const timer = setInterval(() => {
		if (++steps === 1) Object.assign(pull, { licence: "Apache License 2.0", total: 4_680_000_000, completed: mock.partial.get(source) ?? 0, status: "pulling 6a0746a1ec1a" });
		else pull.completed = Math.min(pull.total, pull.completed + mock.pullStep);
		if (bad) end("failed", { slug: "egress_refused", text: "nowhere.example:443 is not allowed" });
		else if (pull.completed < pull.total) tell();
		else {
			mock.models.push(mockModel(pull.name, { size: pull.total, licence: pull.licence }));
			end("done");
			changed(mock);
		}
	}, 200);
	timer.unref();
	mock.cancels.set(pull.id, () => end("failed", { slug: "cancelled", text: "cancelled" }));
	return { status: 202, json: { ...pull } };
}

/* ---- trials ---- */
function promote(mock, me, name, reason) {
	const a = aliasOf(mock, name);
	if (!a.candidate) throw new Failure("conflict", 409, `the alias "${name}" has no candidate`);
	const trial = a.trials.find((t) => t.state === "accepted" && t.old_digest === a.production.digest && t.new_digest === a.candidate.digest);
	if (!trial && !reason) throw new Failure("conflict", 409, `no accepted trial of these two versions of "${name}" with at least ${PROMPTS_MIN} prompts`);
	a.previous = a.production;
	a.production = { ...a.candidate, person: me.id, person_name: me.name, since_ms: Date.now(), ...(trial ? { trial: trial.id } : { reason }) };
	delete a.candidate;
	changed(mock);
	return shownAlias(a);
}
function startTrial(mock, me, name) {
	const a = aliasOf(mock, name);
	if (!a.candidate || a.candidate.digest === a.production.digest) throw new Failure("conflict", 409, `the alias "${name}" has no candidate version`);
	if (a.prompts.length === 0) throw new Failure("conflict", 409, `the alias "${name}" has no prompts`);
	const t = { id: id(), state: "running", old_model: a.production.model, old_digest: a.production.digest, new_model: a.candidate.model, new_digest: a.candidate.digest, prompts: a.prompts.length, answered: 0, person: me.id, person_name: me.name, created_ms: Date.now(), note: "", answers: [] };
	a.trials.unshift(t);
	const timer = setInterval(() => {
		const p = a.prompts[t.answered++];
		if (p) t.answers.push({ prompt: p.text, old: `Alt: **${p.text}** mit einer *kurzen* Antwort.`, old_ms: 900 + t.answered, new: t.answered % 4 === 0 ? `Alt: **${p.text}** mit einer *kurzen* Antwort.` : `Neu: **${p.text}**\n\n- ausführlicher\n- mit einer Liste`, new_ms: 600 + t.answered });
		if (t.answered < t.prompts) return;
		t.state = "done";
		clearInterval(timer);
	}, 60);
	timer.unref();
	return { status: 202, json: shownTrial(t) };
}
function decide(mock, me, [name, trial], accept, note = "") {
	const t = aliasOf(mock, name).trials.find((x) => x.id === trial);
	if (!t) throw new Failure("not_found", 404, "there is no such trial");
	if (accept && t.answered < PROMPTS_MIN) throw new Failure("conflict", 409, `the trial has ${t.answered} answered prompts; it takes ${PROMPTS_MIN} to be accepted`);
	Object.assign(t, { state: accept ? "accepted" : "rejected", note, decided_by: me.id, decided_by_name: me.name, decided_ms: Date.now() });
	return shownTrial(t);
}

export const MODEL_ROUTES = [
	["GET", /^\/models$/, function ({ query }) {
		const aliases = [...this.aliases.values()].map((a) => ({ ...(this.models.find((m) => m.digest === a.production.digest) ?? this.models[0]), name: a.name, alias_of: a.production.model }));
		const all = [...aliases, ...this.models].map((m) => ({ ...m, loaded: m.loaded || this.loaded.has(m.name) }));
		return { models: query.get("all") === "1" ? all : all.filter((m) => !(m.capabilities ?? []).includes("embedding")), default: this.standard };
	}],
	["PUT", /^\/models\/default$/, function ({ me, body }) { admin(me); this.standard = body.name; changed(this); }],
	["POST", /^\/models\/pull$/, function ({ me, body }) { return startPull(this, me, body); }],
	["POST", /^\/models\/([^/]+)\/load$/, async function ({ me, param }) {
		admin(me);
		find(this, param);
		await new Promise((r) => setTimeout(r, 400));
		if (param.includes("huge")) throw new Failure("out_of_memory", 507, "the model needs more memory than there is");
		this.loaded.add(param);
		return {};
	}],
	["POST", /^\/models\/([^/]+)\/unload$/, function ({ me, param }) {
		admin(me);
		if (this.pins.has(param)) throw new Failure("conflict", 409, `${param} is pinned: it stays loaded`);
		find(this, param).loaded = false;
		this.loaded.delete(param);
		return {};
	}],
	["GET", /^\/models\/([^/]+)\/uses$/, function ({ me, param }) {
		admin(me);
		const mine = [...this.conversations.values()].filter((c) => c.model === param);
		return { conversations: mine.length, people: new Set(mine.map((c) => c.owner)).size };
	}],
	["DELETE", /^\/models\/(.+)$/, function ({ me, param, query }) {
		admin(me);
		const m = find(this, param);
		const by = [...this.aliases.values()].find((a) => ["production", "candidate", "previous"].some((c) => a[c]?.digest === m.digest));
		if (by && query.get("force") !== "1") throw new Failure("conflict", 409, `the alias "${by.name}" names this model: move or remove the alias first, or delete with --force`);
		this.models = this.models.filter((x) => x.name !== param);
		changed(this);
	}],
	["GET", /^\/pulls$/, function ({ me }) { admin(me); return { pulls: this.pulls }; }],
	["DELETE", /^\/pulls\/(\w+)$/, function ({ me, param }) {
		admin(me);
		if (!this.cancels.has(param)) throw new Failure("not_found", 404, "there is no such download");
		this.cancels.get(param)();
		return {};
	}],
	["GET", /^\/aliases$/, function () { return { aliases: [...this.aliases.values()].sort((a, b) => a.name.localeCompare(b.name)).map(shownAlias) }; }],
	["PUT", /^\/aliases\/([^/]+)$/, function ({ me, param, body }) {
		admin(me);
		if (!/^[a-z][\w-]*$/.test(param)) throw new Failure("invalid", 400, "an alias is a letter and then letters, digits, - and _ (a-z, at most 48)");
		if (this.models.some((m) => m.name === param)) throw new Failure("conflict", 409, `a model is called "${param}"`);
		const model = find(this, body.model);
		const a = this.aliases.get(param) ?? { name: param, prompts: [], trials: [] };
		a[a.production ? "candidate" : "production"] = letIn(me, model);
		this.aliases.set(param, a);
		changed(this);
		return shownAlias(a);
	}],
	["DELETE", /^\/aliases\/([^/]+)$/, function ({ me, param }) { admin(me); aliasOf(this, param); this.aliases.delete(param); changed(this); }],
	["POST", /^\/aliases\/([^/]+)\/promote$/, function ({ me, param, body }) { admin(me); return promote(this, me, param, body.override ?? ""); }],
	["POST", /^\/aliases\/([^/]+)\/back$/, function ({ me, param }) {
		admin(me);
		const a = aliasOf(this, param);
		if (!a.previous) throw new Failure("conflict", 409, `the alias "${param}" has no previous version`);
		[a.production, a.previous] = [{ ...a.previous, since_ms: Date.now(), person: me.id, person_name: me.name }, a.production];
		changed(this);
		return shownAlias(a);
	}],
	["GET", /^\/aliases\/([^/]+)\/prompts$/, function ({ me, param }) { admin(me); return { prompts: aliasOf(this, param).prompts }; }],
	["POST", /^\/aliases\/([^/]+)\/prompts$/, function ({ me, param, body }) {
		admin(me);
		const a = aliasOf(this, param);
		if (a.prompts.some((p) => p.text === body.text)) throw new Failure("exists", 409, "this prompt is there already");
		const p = { id: id(), text: body.text, created_ms: Date.now() };
		a.prompts.push(p);
		return { status: 201, json: p };
	}],
	["DELETE", /^\/aliases\/([^/]+)\/prompts\/(\w+)$/, function ({ me, params: [name, prompt] }) {
		admin(me);
		const a = aliasOf(this, name);
		a.prompts = a.prompts.filter((p) => p.id !== prompt);
		return {};
	}],
	["GET", /^\/aliases\/([^/]+)\/trials$/, function ({ me, param }) { admin(me); return { trials: aliasOf(this, param).trials.map(shownTrial) }; }],
	["POST", /^\/aliases\/([^/]+)\/trials$/, function ({ me, param }) { admin(me); return startTrial(this, me, param); }],
	["GET", /^\/aliases\/([^/]+)\/trials\/(\w+)$/, function ({ me, params: [name, trial] }) {
		admin(me);
		const t = aliasOf(this, name).trials.find((x) => x.id === trial);
		if (!t) throw new Failure("not_found", 404, "there is no such trial");
		return t;
	}],
	["POST", /^\/aliases\/([^/]+)\/trials\/(\w+)\/accept$/, function ({ me, params, body }) { admin(me); return decide(this, me, params, true, body.note); }],
	["POST", /^\/aliases\/([^/]+)\/trials\/(\w+)\/reject$/, function ({ me, params, body }) { admin(me); return decide(this, me, params, false, body.note); }],
];

/* ---- Ollama's routes: errors are {"error": TEXT} ---- */
export function ollama(mock, path, who, body, res) {
	const say = (status, json) => {
		res.statusCode = status;
		res.setHeader("Content-Type", "application/json");
		res.end(JSON.stringify(json));
	};
	if (!who) return say(401, { error: "log in" });
	const [name = "", channel = "production"] = String(body.model ?? "").split(/:(?=candidate$|previous$)/);
	const digest = mock.aliases.get(name)?.[channel]?.digest;
	const model = mock.models.find((m) => m.name === body.model || m.digest === digest);
	if (!model) return say(404, { error: `model '${body.model}' not found` });
	if (channel !== "production" && who.person.role === "member") return say(403, { error: `only owners and admins may ask the ${channel} version of an alias` });
	if (path === "/api/show") return say(200, { license: `${model.licence}\n\nThe text of the licence.`, licence_name: model.licence, system: model.system ?? "", template: "{{ .Prompt }}", parameters: "temperature 0.7", capabilities: model.capabilities, digest: model.digest, tuned: "flash=off threads=8", ...(model.origin ? { origin: model.origin } : {}) });
	if (path !== "/api/chat") return say(404, { error: "not found" });
	if (body.temporary !== true) return say(400, { error: "the page asks temporary questions only" });
	const question = body.messages[0].content;
	if (question.includes("BUSY")) return say(503, { error: "server busy, please try again.  maximum pending requests exceeded" });
	const pieces = answerFor(question);
	let at = 0;
	res.setHeader("Content-Type", "application/x-ndjson");
	const line = (more) => res.write(`${JSON.stringify({ model: body.model, created_at: new Date().toISOString(), ...more })}\n`);
	const timer = setInterval(() => {
		const piece = pieces[at++];
		if (typeof piece === "string") return line({ message: { role: "assistant", content: piece }, done: false });
		clearInterval(timer);
		if (piece) line({ error: "the engine ended with signal 9" });
		else line({ message: { role: "assistant", content: "" }, done: true, done_reason: "stop", eval_count: at, eval_duration: at * mock.speed * 1e6 });
		res.end();
	}, mock.speed + (model.name.length % 3));
	res.on("close", () => {
		if (!res.writableEnded) mock.left++;
		clearInterval(timer);
	});
}
