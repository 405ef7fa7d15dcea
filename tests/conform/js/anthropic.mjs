/* Anthropic's client: messages, count_tokens, models. */
import Anthropic from "@anthropic-ai/sdk";
import { HI, KEY, KEY_READ, LONG_SCHEMA, URL, all, assert, checks, differs, png, refused, refusedOr, stops, texts, tokens, unsupported } from "./lib.mjs";

const check = checks("anthropic-js");
const connect = (apiKey = KEY, more = {}) => new Anthropic({ baseURL: URL, apiKey, maxRetries: 0, timeout: 60_000, ...more });
const client = connect();
const SHORT = { model: "smollm2", max_tokens: 12, temperature: 0, messages: HI };
const ask = (more) => client.messages.create({ ...SHORT, ...more });
const text = async (more) => (await ask(more)).content.map((b) => b.text ?? "").join("");
const read = (u) => u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens;
const count = async (more) => (await client.messages.countTokens({ model: "smollm2", messages: HI, ...more })).input_tokens;
const STORY = [{ role: "user", content: "Tell me a story about a fox." }];
const SEEDS = [1, 2, 3, 4];
const tool = (name) => ({ name, description: `Tells the ${name} of a city.`,
	input_schema: { type: "object", properties: { city: { type: "string", enum: ["Rome", "Oslo"] } }, required: ["city"], additionalProperties: false } });
const TOOLS = [tool("weather"), tool("population")];
const ROME = [{ role: "user", content: "How is the weather in Rome?" }];
const one = (choice) => ({ tools: TOOLS, messages: ROME, max_tokens: 60, tool_choice: { disable_parallel_tool_use: true, ...choice } });
const warned = (r, word) => assert.ok((r.warnings ?? []).some((w) => w.includes(word)), `no warning names ${word}: ${JSON.stringify(r.warnings)}`);
const invalid = (e) => assert.equal(e.error.error.type, "invalid_request_error");

/* ---- what comes back ---- */

check("messages", "id, type, role, model", "are those of Anthropic, the id another one every time", async () => {
	const a = await ask(), b = await ask();
	assert.match(a.id, /^msg_/);
	assert.notEqual(a.id, b.id);
	assert.deepEqual([a.type, a.role, a.model, a.stop_sequence, a.content[0].type], ["message", "assistant", "smollm2", null, "text"]);
	assert.ok(a._request_id);
});
check("messages", "usage", "counts what was read and made", async () => {
	const r = await ask({ messages: STORY, max_tokens: 5 });
	assert.equal(r.usage.output_tokens, 5);
	assert.equal(read(r.usage), await count({ messages: STORY }));
	const messages = [{ role: "user", content: `Once ${Math.random()} upon a time. `.repeat(6) }];
	await ask({ messages, max_tokens: 1 });
	const again = (await ask({ messages, max_tokens: 1 })).usage;
	assert.equal(again.input_tokens, 1);
	assert.ok(again.cache_read_input_tokens > 40);
});
check("messages", "model", "that is not there is a NotFoundError", async () => {
	const e = await refused(() => ask({ model: "nope" }), 404, /nope/);
	assert.ok(e instanceof Anthropic.NotFoundError);
	assert.equal(e.error.error.type, "not_found_error");
	assert.equal(e.requestID, e.error.request_id);
});

/* ---- what is said ---- */

check("messages", "max_tokens", "is a limit, and must be there", async () => {
	const r = await ask({ messages: STORY, max_tokens: 3 });
	assert.deepEqual([r.stop_reason, r.usage.output_tokens], ["max_tokens", 3]);
	invalid(await refused(() => ask({ max_tokens: undefined }), 400, /max_tokens/));
});
check("messages", "messages", "are all read; several of one role are one turn", async () => {
	const two = [{ role: "user", content: "Say" }, { role: "user", content: "hello." }], same = [{ role: "user", content: "Say\nhello." }];
	assert.equal(await count({ messages: two }), await count({ messages: same }));
	assert.equal(await text({ messages: two }), await text({ messages: same }));
	assert.ok((await count({ messages: [...HI, { role: "assistant", content: "Hello." }, ...HI] })) > (await count()) + 8);
	invalid(await refused(() => ask({ messages: [] }), 400));
	invalid(await refused(() => ask({ messages: [{ role: "king", content: "x" }] }), 400, /role/));
});
check("messages", "messages.content blocks", "are the text that they add up to", async () => {
	const content = [{ type: "text", text: "Say " }, { type: "text", text: "hello." }];
	assert.equal(await text({ messages: [{ role: "user", content }] }), await text());
});
check("messages", "messages ending with the assistant's", "are refused by name", () =>
	refusedOr(() => ask({ messages: [...HI, { role: "assistant", content: "Hel" }] }), /beginning of an answer cannot be given/, "an answer cannot be begun for the model", (r) => assert.ok(r.content)));
check("messages", "system", "a text or blocks: stands before the messages", async () => {
	const pirate = "You are a pirate called Bob. Say your name.";
	const a = await text({ system: pirate });
	assert.notEqual(a, await text());
	assert.equal(await text({ system: [{ type: "text", text: pirate }] }), a);
	assert.equal(await text({ system: [{ type: "text", text: "You are a pirate called Bob. Say" }, { type: "text", text: "your name." }] }), await text({ system: "You are a pirate called Bob. Say\nyour name." }));
	invalid(await refused(() => ask({ system: [{ type: "image" }] }), 400, /system\[0\]/));
});
check("messages", "cache_control", "is accepted: everything is cached", async () => {
	const r = await ask({ system: [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }], max_tokens: 1 });
	assert.equal(r.usage.cache_creation_input_tokens, 0);
	return differs("what was read is kept without being asked for; cache_creation_input_tokens is always 0");
});
check("messages", "stop_sequences", "end the text, and are named", async () => {
	const long = await text({ messages: STORY, max_tokens: 24 }), word = long.split(" ")[4];
	const r = await ask({ messages: STORY, max_tokens: 24, stop_sequences: ["never said", word] });
	assert.deepEqual([r.content[0].text, r.stop_reason, r.stop_sequence], [long.slice(0, long.indexOf(word)), "stop_sequence", word]);
	const s = await client.messages.stream({ ...SHORT, messages: STORY, max_tokens: 24, stop_sequences: [word] }).finalMessage();
	assert.deepEqual([s.stop_reason, s.stop_sequence], ["stop_sequence", word]);
});
check("messages", "stop_reason end_turn", "when the model has said all", async () => {
	const r = await ask({ max_tokens: 200, output_config: { format: { type: "json_schema", schema: { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false } } } });
	assert.equal(r.stop_reason, "end_turn");
});
check("messages", "temperature", "0 is always the same, 1.5 is not", async () => {
	assert.equal((await texts(SEEDS, (seed) => text({ messages: STORY, seed }))).size, 1);
	assert.ok((await texts(SEEDS, (seed) => text({ messages: STORY, temperature: 1.5, seed }))).size > 2);
});
check("messages", "top_p", "of almost nothing leaves one token", async () => assert.equal((await texts(SEEDS, (seed) => text({ messages: STORY, temperature: 2, top_p: 0.0001, seed }))).size, 1));
check("messages", "top_k", "1 leaves one token", async () => assert.equal((await texts(SEEDS, (seed) => text({ messages: STORY, temperature: 2, top_k: 1, seed }))).size, 1));
check("messages", "metadata", "is accepted, and user_id must be a text", async () => {
	assert.equal(await text({ metadata: { user_id: "u-1" } }), await text());
	await refused(() => ask({ metadata: { user_id: 7 } }), 400, /user_id/);
	return differs("without an effect: who asks is whoever the key belongs to");
});
check("messages", "service_tier", "is accepted, another word is refused", async () => {
	assert.equal(await text({ service_tier: "standard_only" }), await text());
	await refused(() => ask({ service_tier: "gold" }), 400, /service_tier/);
	return differs("without an effect: there is no other tier");
});
for (const field of ["speed", "inference_geo"])
	check("messages", field, "is named in a warning", async () => {
		warned(await ask({ [field]: "fast", max_tokens: 1 }), `"${field}"`);
		return differs("ignored; the answer's warnings name it");
	});
check("messages", "container", "is refused by name", async () => {
	await refused(() => ask({ container: "c_1" }), 400, /container/);
	return unsupported("there are no containers here");
});
check("messages", "output_config.format", "is kept to", async () => {
	const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false };
	assert.deepEqual(Object.keys(JSON.parse(await text({ max_tokens: 40, output_config: { format: { type: "json_schema", schema } } }))), ["ok"]);
	await refused(() => ask({ output_config: { format: { type: "xml" } } }), 400, /output_config.format/);
});

/* ---- streams ---- */

check("messages", "stream", "has its events in order", async () => {
	const list = await all(await ask({ stream: true, max_tokens: 4, messages: STORY })), kinds = list.map((e) => e.type);
	const deltas = kinds.filter((k) => k === "content_block_delta").length;
	assert.deepEqual(kinds, ["message_start", "content_block_start", ...Array(deltas).fill("content_block_delta"), "content_block_stop", "message_delta", "message_stop"]);
	assert.ok(read(list[0].message.usage) > 5);
	assert.deepEqual(list.at(-2).delta, { stop_reason: "max_tokens", stop_sequence: null });
	assert.equal(list.at(-2).usage.output_tokens, 4);
});
check("messages", "stream ping", "comes as an event of its own", async () => {
	const r = await fetch(`${URL}/v1/messages`, { method: "POST", headers: { "x-api-key": KEY, "anthropic-version": "2023-06-01" }, body: JSON.stringify({ ...SHORT, max_tokens: 1, stream: true }) });
	assert.equal(r.headers.get("content-type"), "text/event-stream");
	assert.match(await r.text(), /event: ping\ndata: \{"type":"ping"\}\n\n/);
});
check("messages", "stream helper", "gathers what the whole answer says", async () => {
	const s = client.messages.stream(SHORT);
	let said = "";
	s.on("text", (piece) => (said += piece));
	const final = await s.finalMessage(), whole = await ask();
	assert.equal(said, whole.content[0].text);
	assert.equal(await s.finalText(), said);
	assert.deepEqual([final.stop_reason, final.usage.output_tokens], [whole.stop_reason, whole.usage.output_tokens]);
});

/* ---- tools ---- */

check("messages", "tools", "stand in the prompt", async () => assert.ok((await count({ tools: TOOLS })) > (await count()) + 40));
check("messages", "tool_choice any", "calls a tool by its schema", async () => {
	const r = await ask(one({ type: "any" })), [use] = r.content;
	assert.deepEqual([r.stop_reason, use.type], ["tool_use", "tool_use"]);
	assert.match(use.id, /^toolu_/);
	assert.ok(["Rome", "Oslo"].includes(use.input.city));
});
for (const name of ["weather", "population"])
	check("messages", "tool_choice tool", `calls ${name} when that is named`, async () => assert.deepEqual((await ask(one({ type: "tool", name }))).content.map((b) => b.name), [name]));
check("messages", "tool_choice none", "never calls", async () => assert.ok((await ask(one({ type: "none" }))).content.every((b) => b.type === "text")));
check("messages", "tool_choice", "of a tool that is not there is refused", async () => {
	await refused(() => ask(one({ type: "tool", name: "nobody" })), 400, /nobody|tool_choice/);
	await refused(() => ask(one({ type: "perhaps" })), 400, /tool_choice/);
});
check("messages", "disable_parallel_tool_use", "is one call at most", async () => {
	assert.equal((await ask({ ...one({ type: "any" }), max_tokens: 120 })).content.length, 1);
	const many = await ask({ ...one({ type: "any", disable_parallel_tool_use: false }), max_tokens: 120 });
	assert.ok(many.content.length > 1 || many.stop_reason === "max_tokens", "this model would call once anyway");
});
check("messages", "tools", "are called in a stream, with their input as JSON text", async () => {
	const list = await all(await ask({ ...one({ type: "any" }), stream: true }));
	const start = list.find((e) => e.type === "content_block_start");
	assert.deepEqual([start.content_block.type, start.content_block.input], ["tool_use", {}]);
	const json = list.filter((e) => e.delta?.type === "input_json_delta").map((e) => e.delta.partial_json).join("");
	assert.ok(["Rome", "Oslo"].includes(JSON.parse(json).city));
	const final = await client.messages.stream({ ...SHORT, ...one({ type: "any" }) }).finalMessage();
	assert.deepEqual(final.content[0].input, JSON.parse(json));
});
const used = [{ type: "tool_use", id: "toolu_1", name: "weather", input: { city: "Rome" } }];
const after = (result, calls = used) => ({ model: "thinker", tools: TOOLS, messages: [...ROME, { role: "assistant", content: calls }, { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", ...result }] }] });
check("messages", "tool_use", "goes back into the prompt", async () => {
	const longer = [{ ...used[0], input: { city: "Rome", country: "Italy" } }];
	assert.ok((await count(after({ content: "Sunny." }, longer))) > (await count(after({ content: "Sunny." }))));
});
check("messages", "tool_result", "goes back into the prompt, as text or blocks", async () => {
	const short = await count(after({ content: "Sunny." }));
	assert.equal((await count(after({ content: "Sunny. Sunny." }))) - short, (await tokens(" Sunny.")).length);
	assert.equal(await count(after({ content: [{ type: "text", text: "Sunny." }] })), short);
	assert.ok((await count(after({ content: "Sunny.", is_error: true }))) > short);
	invalid(await refused(() => ask(after({ content: "x", tool_use_id: "toolu_2" })), 400, /tool_use_id/));
});
for (const type of ["web_search_20250305", "bash_20250124", "code_execution_20250522"])
	check("messages", `tools ${type}`, "is refused by name", async () => {
		await refused(() => ask({ tools: [{ type, name: "x" }] }), 400, new RegExp(type));
		return unsupported("tools are run by whoever asks, and have an input_schema");
	});
check("beta.messages", "toolRunner", "calls the function here and ends", async () => {
	const cities = [];
	const run = client.beta.messages.toolRunner({ ...SHORT, ...one({ type: "any" }), max_iterations: 1,
		tools: [{ ...TOOLS[0], run: ({ city }) => (cities.push(city), "Sunny."), parse: (x) => x }] });
	await run.runUntilDone();
	assert.ok(cities.length === 1 && ["Rome", "Oslo"].includes(cities[0]));
});

/* ---- thinking ---- */

const think = (thinking, more) => client.messages.create({ model: "thinker", max_tokens: 40, temperature: 0, messages: HI, thinking, ...more });
const budget = (budget_tokens) => ({ type: "enabled", budget_tokens });
check("messages", "thinking", "is a block before the text, with a signature; without it there is none", async () => {
	const r = await think(budget(8));
	assert.deepEqual(r.content.map((b) => b.type), ["thinking", "text"]);
	assert.ok(r.content[0].thinking && r.content[0].signature);
	assert.deepEqual((await think({ type: "disabled" })).content.map((b) => b.type), ["text"]);
	assert.deepEqual((await think(undefined)).content.map((b) => b.type), ["text"]);
});
check("messages", "thinking.budget_tokens", "is kept to", async () => {
	const of = async (n) => (await tokens((await think(budget(n))).content[0].thinking)).length;
	assert.ok((await of(4)) < (await of(16)));
	invalid(await refused(() => think(budget(40)), 400, /greater than thinking.budget_tokens/));
});
check("messages", "thinking.display", "omitted gives the block without its text", async () => {
	const r = await think({ ...budget(8), display: "omitted" });
	assert.deepEqual([r.content[0].type, r.content[0].thinking], ["thinking", ""]);
});
check("messages", "thinking", "streams as deltas, then its signature", async () => {
	const s = client.messages.stream({ model: "thinker", max_tokens: 40, temperature: 0, messages: HI, thinking: budget(8) });
	const kinds = [];
	s.on("streamEvent", (e) => e.type === "content_block_delta" && kinds.at(-1) !== e.delta.type && kinds.push(e.delta.type));
	const final = await s.finalMessage(), whole = await think(budget(8));
	assert.deepEqual(kinds, ["thinking_delta", "signature_delta", "text_delta"]);
	assert.equal(final.content[0].thinking, whole.content[0].thinking);
	assert.equal(final.content[0].signature, whole.content[0].signature);
});
check("messages", "messages.content thinking", "goes back into the prompt", async () => {
	const talk = (thinking) => ({ model: "thinker", messages: [...HI, { role: "assistant", content: [{ type: "thinking", thinking, signature: "x" }, { type: "text", text: "Hello." }] }, ...HI] });
	assert.ok((await count(talk("They greet me. They greet me."))) > (await count(talk("They greet me."))));
});
check("messages", "thinking", "of a model that does not think is said in a warning", async () => warned(await ask({ max_tokens: 20, thinking: budget(10) }), "does not think"));
check("messages", "output_config.effort", "is told to a model that thinks", async () => {
	const counts = [];
	for (const effort of ["low", "medium", "high"]) counts.push(await count({ model: "thinker", thinking: { type: "adaptive" }, output_config: { effort } }));
	assert.equal(new Set(counts).size, 3);
	await refused(() => ask({ output_config: { effort: "enormous" } }), 400, /effort/);
	warned(await ask({ max_tokens: 1, output_config: { effort: "high" } }), "effort");
});

/* ---- pictures and documents ---- */

const look = (shade) => client.messages.create({ model: "seer", max_tokens: 2, messages: [{ role: "user", content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: png(shade) } }, { type: "text", text: "What is it?" }] }] });
check("messages", "messages.content image", "is looked at: another picture, another reading", async () => {
	const r = await look(31);
	assert.equal((await look(31)).usage.input_tokens, 1);
	assert.ok((await look(33)).usage.input_tokens > 4);
	assert.equal(read(r.usage), (await count({ model: "seer", messages: [{ role: "user", content: "What is it?" }] })) + 4);
});
check("messages", "messages.content image", "is refused by a model that does not see", () =>
	refused(() => ask({ messages: [{ role: "user", content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: png(1) } }] }] }), 400, /does not support vision/));
check("messages", "messages.content image (address)", "is refused: nothing is fetched", async () => {
	await refused(() => ask({ messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url: "https://example.org/a.png" } }] }] }), 400, /not fetched/);
	return unsupported("the server opens no address that a request names; send the picture as base64");
});
check("messages", "messages.content document (text)", "is read", async () => {
	const with_ = (data) => ({ messages: [{ role: "user", content: [{ type: "document", source: { type: "text", media_type: "text/plain", data } }, { type: "text", text: "Say hello." }] }] });
	assert.equal((await count(with_("A fox. A fox."))) - (await count(with_("A fox."))), (await tokens(" A fox.")).length);
});
check("messages", "messages.content document (PDF)", "is refused by name", () =>
	refusedOr(() => ask({ messages: [{ role: "user", content: [{ type: "document", source: { type: "base64", media_type: "application/pdf", data: "AAAA" } }] }] }), /documents only those of the type text/,
		"documents that are not text are not taken apart by this API", (r) => assert.ok(r.content)));

/* ---- other routes ---- */

check("count_tokens", "input_tokens", "is what an answer reads", async () => {
	for (const more of [{}, { system: "Be brief." }, { tools: TOOLS }]) assert.equal(await count(more), read((await ask({ ...more, max_tokens: 1 })).usage));
	assert.ok((await count({ messages: [{ role: "user", content: "word ".repeat(9000) }] })) > 9000);
});
check("models", "list, retrieve", "name the models as Anthropic does", async () => {
	const list = await all(client.models.list()), m = list.find((x) => x.id === "smollm2:latest");
	assert.deepEqual([m.type, m.display_name], ["model", "smollm2:latest"]);
	assert.ok(Date.parse(m.created_at) > 1.7e12);
	assert.deepEqual((await client.models.retrieve("smollm2")).id, m.id);
	await refused(() => client.models.retrieve("nope"), 404);
});
check("messages.batches", "all", "are not there", async () => {
	await assert.rejects(() => client.messages.batches.list(), (e) => e.status === 404 || e.status === 405);
	return unsupported("ask one by one; priority batch of the Ollama API lets a request wait for all others");
});

/* ---- leaving and errors ---- */

const LONG = { ...SHORT, messages: STORY, max_tokens: 3000, output_config: { format: { type: "json_schema", schema: LONG_SCHEMA } } };
check("cancel", "abort of a stream", "ends it on the server", async () => {
	const s = client.messages.stream(LONG);
	await stops(() => s.finalMessage(), () => s.abort());
});
check("cancel", "abort of a whole answer", "ends it on the server", async () => {
	const leave = new AbortController();
	await stops(() => client.messages.create(LONG, { signal: leave.signal, timeout: 60_000 }), () => leave.abort());
});
check("errors", "AuthenticationError", "for a key that is none", async () => {
	const e = await refused(() => connect("sk-nonsense").messages.create(SHORT), 401);
	assert.ok(e instanceof Anthropic.AuthenticationError);
	assert.equal(e.error.error.type, "authentication_error");
});
check("errors", "authToken", "is taken in the place of a key", async () => assert.ok((await new Anthropic({ baseURL: URL, apiKey: null, authToken: KEY, maxRetries: 0 }).messages.create(SHORT)).id));
check("errors", "PermissionDeniedError", "for a key without the scope", async () => {
	const e = await refused(() => connect(KEY_READ).messages.create(SHORT), 403, /scope/);
	assert.ok(e instanceof Anthropic.PermissionDeniedError);
	assert.equal(e.error.error.type, "permission_error");
});
check("errors", "BadRequestError", "says what is too long as clients look for it", async () => {
	const e = await refused(() => ask({ messages: [{ role: "user", content: "word ".repeat(9000) }] }), 400, /prompt is too long: 90\d\d tokens > 8192 maximum/);
	assert.ok(e instanceof Anthropic.BadRequestError);
	invalid(e);
});
