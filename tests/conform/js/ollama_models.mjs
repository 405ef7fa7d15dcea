/* Ollama's client: the models themselves. */
import { createHash } from "node:crypto";
import { HI, KEY, KEY_READ, URL, all, assert, checks, differs, http, refused, refusedOr, unsupported } from "./lib.mjs";
import { connect } from "./ollama.mjs";

const check = checks("ollama-js");
const client = connect();
const COLD = { temperature: 0, num_predict: 12 };
const names = async () => (await client.list()).models.map((m) => m.name);
const starter = async () => (await client.list()).models.find((m) => m.name === "smollm2:latest");
/* A model made for one check, and taken away after it. */
async function made(request, then) {
	await client.create({ model: "mine", ...request });
	try {
		return await then();
	} finally {
		await client.delete({ model: "mine" });
	}
}

check("/api/version", "version", "says which Ollama's API this follows", async () => assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/));
check("/api/tags", "models", "have every field", async () => {
	const m = await starter();
	assert.equal(m.model, "smollm2:latest");
	assert.match(m.digest, /^[0-9a-f]{64}$/);
	assert.ok(m.size > 90e6 && Date.parse(m.modified_at) > 1.7e12);
	assert.deepEqual(m.details, { parent_model: "", format: "gguf", family: "llama", families: ["llama"], parameter_size: m.details.parameter_size, quantization_level: "Q4_1" });
	assert.match(m.details.parameter_size, /^13\d(\.\d+)?M$/);
});
check("/api/show", "details, model_info, capabilities, modified_at", "tell what the file is", async () => {
	const r = await client.show({ model: "smollm2" });
	assert.equal(r.details.family, "llama");
	assert.equal(r.model_info["general.architecture"], "llama");
	assert.equal(r.model_info["llama.context_length"], 8192);
	assert.ok(r.model_info["general.parameter_count"] > 130e6);
	assert.ok(r.capabilities.includes("completion") && r.capabilities.includes("tools"));
	assert.ok(Date.parse(r.modified_at) > 1.7e12);
});
check("/api/show", "capabilities", "say who sees and who makes vectors", async () => {
	assert.ok((await client.show({ model: "seer" })).capabilities.includes("vision"));
	assert.deepEqual((await client.show({ model: "minilm" })).capabilities, ["embedding"]);
});
async function knows(model, word) {
	if (!(await client.show({ model })).capabilities.includes(word)) return unsupported("only the engine knows it, once it has read the template and the tokens");
	assert.ok(!(await client.show({ model: "smollm2" })).capabilities.includes(word));
}
check("/api/show", "capabilities thinking", "say who thinks", () => knows("thinker", "thinking"));
check("/api/show", "capabilities insert", "say who fills in", () => knows("fim", "insert"));
check("/api/show", "modelfile, parameters, system, template, license", "are what it was made with", () =>
	made({ from: "smollm2", system: "You are brief.", parameters: { temperature: 0.3, stop: ["END"] }, license: "Ours.", template: "{{ .Prompt }}" }, async () => {
		const r = await client.show({ model: "mine" });
		assert.deepEqual([r.system, r.license, r.template], ["You are brief.", "Ours.", "{{ .Prompt }}"]);
		assert.match(r.parameters, /temperature +0.3/);
		assert.match(r.parameters, /stop +"END"/);
		assert.match(r.modelfile, /SYSTEM .*You are brief\./);
	}));
check("/api/show", "messages", "are what it was made with", () => made({ from: "smollm2", messages: HI }, async () => assert.deepEqual((await client.show({ model: "mine" })).messages, HI)));
check("/api/show", "model", "that is not there: 404 with Ollama's words", () => refused(() => client.show({ model: "nope" }), 404, /^model 'nope' not found$/));
check("/api/show", "name", "is the old spelling of model", async () => assert.ok((await http("POST", "/api/show", { name: "smollm2" })).details));
check("/api/show", "verbose", "gives the arrays of the file and its tensors", async () => {
	const r = await client.show({ model: "smollm2", verbose: true });
	if (!r.tensors) return unsupported("the header is read in a jail, which keeps only what is needed");
	assert.ok(r.tensors.some((t) => t.name === "token_embd.weight"));
});
check("/api/ps", "models", "have every field", async () => {
	await client.generate({ model: "smollm2", prompt: "", keep_alive: "5m" });
	const m = (await client.ps()).models.find((x) => x.name === "smollm2:latest");
	assert.equal(m.digest, (await starter()).digest);
	assert.ok(m.size > 90e6 && m.context_length > 0 && m.size_vram >= 0 && Date.parse(m.expires_at) > Date.now());
	assert.equal(m.details.quantization_level, "Q4_1");
});

/* ---- create, copy, delete ---- */

const said = async (model, messages = HI) => (await client.chat({ model, messages, options: COLD })).message.content;
check("/api/create", "from, system", "make a model that obeys", () =>
	made({ from: "smollm2", system: "You are a pirate called Bob. Say your name." }, async () => {
		assert.equal(await said("mine"), await said("smollm2", [{ role: "system", content: "You are a pirate called Bob. Say your name." }, ...HI]));
		assert.notEqual(await said("mine"), await said("smollm2"));
	}));
check("/api/create", "parameters", "are used, and a request goes before them", () =>
	made({ from: "smollm2", parameters: { num_predict: 2, temperature: 0 } }, async () => {
		assert.equal((await client.chat({ model: "mine", messages: HI })).eval_count, 2);
		assert.equal((await client.chat({ model: "mine", messages: HI, options: { num_predict: 3 } })).eval_count, 3);
	}));
check("/api/create", "parameters", "that cannot be are refused, or left out with a warning", async () => {
	try {
		await client.create({ model: "mine", from: "smollm2", parameters: { temperature: "hot" } });
	} catch (e) {
		assert.match(e.message, /temperature/);
		return;
	}
	const r = await client.chat({ model: "mine", messages: HI, options: COLD });
	await client.delete({ model: "mine" });
	assert.ok(r.warnings.some((w) => w.includes("temperature")), JSON.stringify(r.warnings));
});
check("/api/create", "messages", "stand before every talk", () => {
	const messages = [{ role: "user", content: "My name is Ada." }, { role: "assistant", content: "Hello Ada." }];
	return made({ from: "smollm2", messages }, async () => assert.equal(await said("mine"), await said("smollm2", [...messages, ...HI])));
});
check("/api/create", "license", "may be several", () => made({ from: "smollm2", license: ["One.", "Two."] }, async () => assert.match((await client.show({ model: "mine" })).license, /One\.\s+Two\./)));
check("/api/create", "stream", "tells its steps and ends with success", async () => {
	const lines = await all(await client.create({ model: "mine", from: "smollm2", system: "x", stream: true }));
	await client.delete({ model: "mine" });
	assert.equal(lines.at(-1).status, "success");
	assert.ok(lines.length > 1 && lines.every((l) => l.status));
});
check("/api/create", "from", "of a model that is not there is refused", () => refused(() => client.create({ model: "mine", from: "nope" }), 404, /nope/));
check("/api/create", "quantize", "is refused for weights that are small already, as Ollama does", () =>
	refused(() => client.create({ model: "mine", from: "smollm2", quantize: "q8_0" }), 400, /quantization is only supported/));
/* A LoRA of rank 1 for one matrix of SmolLM2 135M, as a GGUF file on the server; its digest. */
async function lora(width) {
	const u32 = (n) => Buffer.from(Uint32Array.of(n).buffer), u64 = (n) => Buffer.from(BigUint64Array.of(BigInt(n)).buffer);
	const text = (s) => Buffer.concat([u64(s.length), Buffer.from(s)]), floats = (n, v) => Buffer.from(new Float32Array(n).fill(v).buffer);
	const pairs = [["general.architecture", "llama"], ["general.type", "adapter"], ["adapter.type", "lora"]].flatMap(([k, v]) => [text(k), u32(8), text(v)]);
	const tensor = (half, a, b, at) => [text(`blk.0.attn_v.weight.lora_${half}`), u32(2), u64(a), u64(b), u32(0), u64(at)];
	const head = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(2), u64(4), ...pairs, text("adapter.lora.alpha"), u32(6), floats(1, 1), ...tensor("a", width, 1, 0), ...tensor("b", 1, 192, 4 * width)]);
	const file = Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), floats(width, 1), floats(192, 0.5)]);
	const digest = `sha256:${createHash("sha256").update(file).digest("hex")}`;
	const r = await fetch(`${URL}/api/blobs/${digest}`, { method: "POST", body: file, headers: { authorization: `Bearer ${KEY}` } });
	assert.ok(r.status === 200 || r.status === 201, `${r.status}`);
	return digest;
}
check("/api/create", "adapters", "are used", async () => made({ from: "smollm2", adapters: { "a.gguf": await lora(576) } }, async () => assert.notEqual(await said("mine"), await said("smollm2"))));
check("/api/create", "adapters", "for another model, or that are not there, are refused", async () => {
	const other = await lora(544);
	await refused(() => client.create({ model: "mine", from: "smollm2", adapters: { "a.gguf": other } }), 422, /shape/);
	await refused(() => client.create({ model: "mine", from: "smollm2", adapters: { "a.gguf": `sha256:${"0".repeat(64)}` } }), 404);
});
check("/api/copy", "source, destination", "give another name to the same", async () => {
	await client.copy({ source: "smollm2", destination: "mine:v1" });
	const list = (await client.list()).models;
	await client.delete({ model: "mine:v1" });
	assert.equal(list.find((m) => m.name === "mine:v1").digest, list.find((m) => m.name === "smollm2:latest").digest);
	await refused(() => client.copy({ source: "nope", destination: "x" }), 404, /^model ['"]nope['"] not found$/);
});
check("/api/delete", "model", "takes the name away; a second time it is not found", async () => {
	await client.copy({ source: "smollm2", destination: "mine" });
	assert.equal((await client.delete({ model: "mine" })).status, "success");
	assert.ok(!(await names()).includes("mine:latest"));
	await refused(() => client.delete({ model: "mine" }), 404, /^model 'mine' not found$/);
});

/* ---- pull, push ---- */

check("/api/pull", "stream", "tells its steps and ends with success", async () => {
	const before = await names(), lines = await all(await client.pull({ model: "starter:smollm2", stream: true }));
	const [extra] = (await names()).filter((n) => !before.includes(n));
	if (extra) await client.delete({ model: extra });
	assert.equal(lines.at(-1).status, "success");
	assert.ok(lines.length > 1 && lines.every((l) => l.status));
});
check("/api/pull", "stream", "false is one object", async () => {
	const before = await names(), r = await client.pull({ model: "starter:smollm2" });
	const [extra] = (await names()).filter((n) => !before.includes(n));
	if (extra) await client.delete({ model: extra });
	assert.equal(r.status, "success");
});
check("/api/pull", "model", "from a host that is not allowed is refused by its name", async () => {
	await refused(() => client.pull({ model: "evil.example/x/y" }), 403, /evil\.example/);
	return differs("models come only from the sources that an administrator allows");
});
check("/api/pull", "insecure", "does not open what is not allowed", () => refused(() => client.pull({ model: "evil.example/x/y", insecure: true }), 403, /evil\.example/));
check("/api/pull", "a key without the scope", "is refused", () => refused(() => connect(KEY_READ).pull({ model: "starter:smollm2" }), 403, /scope/));
check("/api/push", "model", "is refused clearly, or goes to an allowed registry alone", () =>
	refusedOr(() => client.push({ model: "evil.example/x/y" }), /evil\.example|not found|nothing at this address/i, "nothing is sent to a registry that is not allowed", () => assert.fail("it was pushed")));

/* ---- blobs, and what is Ollama's company's ---- */

check("/api/blobs", "HEAD, POST", "know a digest, and refuse bytes that are others", async () => {
	const ask = (method, digest, body) => fetch(`${URL}/api/blobs/${digest}`, { method, body, headers: { authorization: `Bearer ${KEY}` } });
	assert.equal((await ask("HEAD", `sha256:${"1".repeat(64)}`)).status, 404);
	const bad = await ask("POST", `sha256:${"1".repeat(64)}`, "hello");
	assert.equal(bad.status, 400);
	assert.match((await bad.json()).error, /digest/);
	assert.equal((await ask("POST", "sha256:xyz", "hello")).status, 400);
});
for (const [field, path] of [["signout", "/api/signout"], ["web search", "/api/experimental/web_search"], ["web fetch", "/api/experimental/web_fetch"]])
	check("cloud", field, "is not there", async () => {
		await assert.rejects(() => http("POST", path, { query: "x" }), /404|405/);
		return unsupported("there is no cloud, no account, and no connection outside that a request asks for");
	});
check("cloud", "models that end with :cloud", "are not found", async () => {
	await refused(() => client.chat({ model: "smollm2:cloud", messages: HI }), 404, /not found/);
	return unsupported("nothing is answered elsewhere");
});
