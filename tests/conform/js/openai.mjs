/* OpenAI's client: chat completions. */
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { HI, KEY, LONG_SCHEMA, URL, active, all, assert, checks, differs, png, refused, refusedOr, stops, texts, tokens, unsupported, until, waiting } from "./lib.mjs";

const check = checks("openai-js");
export const connect = (apiKey = KEY, more = {}) => new OpenAI({ baseURL: `${URL}/v1`, apiKey, maxRetries: 0, timeout: 60_000, ...more });
const client = connect();
const SHORT = { model: "smollm2", messages: HI, max_tokens: 12, temperature: 0 };
export const STORY = [{ role: "user", content: "Tell me a story about a fox." }];
const chat = (more) => client.chat.completions.create({ ...SHORT, ...more });
const text = async (more) => (await chat(more)).choices[0].message.content;
const read = async (more) => (await chat({ max_tokens: 1, ...more })).usage.prompt_tokens;
const streamed = async (more) => all(await chat({ stream: true, ...more }));
const joined = (chunks, i = 0) => chunks.flatMap((c) => c.choices).filter((c) => c.index === i).map((c) => c.delta.content ?? "").join("");
const ANSWER = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false };
export const tool = (name, city = { type: "string", enum: ["Rome", "Oslo"] }) => ({
	type: "function",
	function: { name, description: `Tells the ${name} of a city.`, parameters: { type: "object", properties: { city }, required: ["city"], additionalProperties: false } },
});
const TWO = [tool("weather"), tool("population")];
const WEATHER = [{ role: "user", content: "How is the weather in Rome?" }];
const CALL = { tools: TWO, messages: WEATHER, max_tokens: 60, parallel_tool_calls: false };
const warned = (r, word) => assert.ok((r.warnings ?? []).some((w) => w.includes(word)), `no warning names ${word}: ${JSON.stringify(r.warnings)}`);
const picture = (shade, more) => ({ type: "image_url", image_url: { url: `data:image/png;base64,${png(shade)}`, ...more } });
const look = (...content) => client.chat.completions.create({ model: "seer", temperature: 0, max_tokens: 6, repeat_penalty: 1, messages: [{ role: "user", content }] });

/* ---- what comes back ---- */

check("chat", "id", "is another one every time", async () => {
	const ids = new Set();
	for (let i = 0; i < 4; i++) ids.add((await chat({ max_tokens: 1 })).id);
	assert.equal(ids.size, 4);
	for (const id of ids) assert.match(id, /^chatcmpl-\w+/);
});
check("chat", "object, created, model", "are those of OpenAI", async () => {
	const r = await chat();
	assert.equal(r.object, "chat.completion");
	assert.ok(Math.abs(r.created - Date.now() / 1000) < 60);
	assert.equal(r.model, "smollm2");
	assert.equal(r.choices[0].index, 0);
	assert.equal(r.choices[0].message.role, "assistant");
	assert.equal(r.choices[0].message.refusal, null);
});
check("chat", "system_fingerprint", "names model and engine, and is the same for both answers", async () => {
	const a = await chat(), b = await chat();
	assert.match(a.system_fingerprint, /^fp_[0-9a-f]{12}_/);
	assert.equal(a.system_fingerprint, b.system_fingerprint);
	assert.notEqual((await chat({ model: "thinker" })).system_fingerprint, a.system_fingerprint);
});
check("chat", "usage", "adds up, and counts what was asked", async () => {
	const a = (await chat({ max_tokens: 5 })).usage, b = (await chat({ max_tokens: 5, messages: [{ role: "user", content: "Say hello. Say hello." }] })).usage;
	assert.equal(a.total_tokens, a.prompt_tokens + a.completion_tokens);
	assert.equal(a.completion_tokens, 5);
	assert.equal(b.prompt_tokens - a.prompt_tokens, (await tokens(" Say hello.")).length);
});
check("chat", "usage.prompt_tokens_details.cached_tokens", "counts what need not be read again", async () => {
	const messages = [{ role: "user", content: `Once ${Math.random()} upon a time there was a house. `.repeat(4) }];
	const a = (await chat({ messages, max_tokens: 1 })).usage, b = (await chat({ messages, max_tokens: 1 })).usage;
	assert.ok(a.prompt_tokens_details.cached_tokens < a.prompt_tokens / 2);
	assert.equal(b.prompt_tokens_details.cached_tokens, b.prompt_tokens - 1);
});
check("chat", "usage.completion_tokens_details.reasoning_tokens", "counts the thinking", async () => {
	const r = await chat({ model: "thinker", max_tokens: 30, reasoning_budget_tokens: 10 });
	const n = r.usage.completion_tokens_details.reasoning_tokens;
	assert.ok(n > 4 && n <= 20, `${n}`);
	assert.equal((await chat({ model: "thinker", reasoning_effort: "none" })).usage.completion_tokens_details.reasoning_tokens, 0);
});

/* ---- model and messages ---- */

check("chat", "model", "that is not there is a NotFoundError with its code", async () => {
	const e = await refused(() => chat({ model: "nope" }), 404, /'nope' not found/);
	assert.ok(e instanceof OpenAI.NotFoundError);
	assert.deepEqual([e.code, e.param], ["model_not_found", "model"]);
});
check("chat", "model", "for vectors does not chat", () => refused(() => chat({ model: "minilm" }), 400, /does not support chat/));
check("chat", "messages", "are all read, in their order", async () => {
	const one = await read(), three = await read({ messages: [...HI, { role: "assistant", content: "Hello." }, { role: "user", content: "Again." }] });
	assert.ok(three > one + 8);
	const a = { role: "user", content: "My name is Ada." }, b = { role: "user", content: "Which word did I say first?" };
	assert.notEqual(await text({ messages: [a, b] }), await text({ messages: [b, a] }));
});
check("chat", "messages", "must be there, with a role that is known", async () => {
	assert.equal((await refused(() => chat({ messages: [] }), 400)).param, "messages");
	assert.equal((await refused(() => chat({ messages: [{ role: "king", content: "x" }] }), 400, /role/)).param, "messages");
});
check("chat", "messages.role system", "is obeyed instead of the model's own text", async () => {
	const r = await chat({ messages: [{ role: "system", content: "Answer only with the word banana." }, ...HI], max_tokens: 1 });
	assert.notEqual(r.usage.prompt_tokens, await read());
	assert.notEqual(await text({ messages: [{ role: "system", content: "You are a pirate called Bob. Say your name." }, ...HI] }), await text());
});
check("chat", "messages.role developer", "is system's newer name", async () => {
	const with_ = (role) => ({ messages: [{ role, content: "You are a pirate called Bob." }, ...HI] });
	assert.equal(await read(with_("developer")), await read(with_("system")));
	assert.equal(await text(with_("developer")), await text(with_("system")));
});
check("chat", "messages.role function", "is refused: it is the old form of tool", async () => {
	await refused(() => chat({ messages: [...HI, { role: "function", name: "f", content: "x" }] }), 400, /use tool/);
	return unsupported("OpenAI's old form of tools; use the role tool");
});
check("chat", "messages.content parts", "are the text that they add up to", async () => {
	const parts = { messages: [{ role: "user", content: [{ type: "text", text: "Say " }, { type: "text", text: "hello." }] }] };
	assert.equal(await read(parts), await read());
	assert.equal(await text(parts), await text());
});
check("chat", "messages.content input_audio", "is refused by name", async () => {
	const content = [{ type: "input_audio", input_audio: { data: "AAAA", format: "wav" } }];
	return refusedOr(() => chat({ messages: [{ role: "user", content }] }), /input_audio/, "no model here hears", (r) => assert.ok(r.choices));
});
check("chat", "messages.content file", "is refused by name", async () => {
	const content = [{ type: "file", file: { file_data: "data:application/pdf;base64,AAAA", filename: "a.pdf" } }];
	return refusedOr(() => chat({ messages: [{ role: "user", content }] }), /file/, "documents are not taken apart by this API", (r) => assert.ok(r.choices));
});
check("chat", "messages.content", "longer than the context is told with both counts", async () => {
	const e = await refused(() => chat({ messages: [{ role: "user", content: "word ".repeat(9000) }] }), 400, /has 90\d\d.* 8192/);
	assert.deepEqual([e.code, e.param], ["context_length_exceeded", "messages"]);
});

/* ---- how much, and where it ends ---- */

for (const field of ["max_tokens", "max_completion_tokens"])
	check("chat", field, "is a limit", async () => {
		const r = await chat({ messages: STORY, max_tokens: undefined, [field]: 3 });
		assert.equal(r.usage.completion_tokens, 3);
		assert.equal(r.choices[0].finish_reason, "length");
		assert.equal((await refused(() => chat({ max_tokens: undefined, [field]: 0 }), 400)).param, field);
	});
check("chat", "stop", "ends the text before the word, whole and streamed", async () => {
	const long = await text({ messages: STORY, max_tokens: 24 }), word = long.split(" ")[4];
	for (const stop of [word, ["never said", word]]) {
		const r = await chat({ messages: STORY, max_tokens: 24, stop });
		assert.equal(r.choices[0].message.content, long.slice(0, long.indexOf(word)));
		assert.equal(r.choices[0].finish_reason, "stop");
	}
	assert.equal(joined(await streamed({ messages: STORY, max_tokens: 24, stop: word })), long.slice(0, long.indexOf(word)));
});
check("chat", "stop", "of too many words is refused", async () => assert.equal((await refused(() => chat({ stop: Array(20).fill("a") }), 400)).param, "stop"));
check("chat", "n", "gives several, and reads the prompt once", async () => {
	const r = await chat({ messages: STORY, n: 3, temperature: 1, seed: 7, max_tokens: 8 });
	assert.deepEqual(r.choices.map((c) => c.index), [0, 1, 2]);
	assert.ok(new Set(r.choices.map((c) => c.message.content)).size > 1);
	assert.equal(r.usage.completion_tokens, 24);
	assert.equal(r.usage.prompt_tokens, await read({ messages: STORY }));
	assert.equal((await refused(() => chat({ n: 9 }), 400)).param, "n");
});
check("chat", "n", "streams each with its index", async () => {
	const chunks = await streamed({ messages: STORY, n: 2, max_tokens: 6 });
	assert.ok(joined(chunks, 0) && joined(chunks, 0) === joined(chunks, 1));
	assert.deepEqual(chunks.flatMap((c) => c.choices).filter((c) => c.finish_reason).map((c) => c.index).sort(), [0, 1]);
});

/* ---- sampling ---- */

const SEEDS = [1, 2, 3, 4];
check("chat", "temperature", "0 is always the likeliest, 1.5 is not", async () => {
	assert.equal((await texts(SEEDS, (seed) => text({ messages: STORY, seed }))).size, 1);
	assert.ok((await texts(SEEDS, (seed) => text({ messages: STORY, temperature: 1.5, seed }))).size > 2);
	assert.equal((await refused(() => chat({ temperature: 1000 }), 400)).param, "temperature");
});
check("chat", "seed", "repeats an answer, another gives another", async () => {
	const ask = (seed) => text({ messages: STORY, temperature: 1.2, seed });
	assert.equal((await texts([5, 5, 5], ask)).size, 1);
	assert.ok((await texts(SEEDS, ask)).size > 2);
});
check("chat", "top_p", "of almost nothing leaves one token, however hot", async () => {
	const greedy = await text({ messages: STORY });
	assert.deepEqual([...(await texts(SEEDS, (seed) => text({ messages: STORY, temperature: 2, top_p: 0.0001, seed })))], [greedy]);
	assert.equal((await refused(() => chat({ top_p: 3 }), 400)).param, "top_p");
});
const AGAIN = { messages: [{ role: "user", content: "Repeat this for ever: one two one two one two one two one two one two" }], max_tokens: 20, repeat_penalty: 1 };
check("chat", "presence_penalty", "turns the text away from words that were said", async () => {
	const long = { messages: STORY, max_tokens: 48, repeat_penalty: 1 }, plain = await text(long);
	assert.notEqual(await text({ ...long, presence_penalty: 2 }), plain);
	assert.equal(await text({ ...long, presence_penalty: 0 }), plain);
	assert.equal((await refused(() => chat({ presence_penalty: 1000 }), 400)).param, "presence_penalty");
});
check("chat", "frequency_penalty", "turns it away the more, the more often", async () => {
	const plain = await text(AGAIN), turned = await text({ ...AGAIN, frequency_penalty: 2 });
	assert.notEqual(turned, plain);
	assert.equal(await text({ ...AGAIN, frequency_penalty: 0 }), plain);
	assert.equal((await refused(() => chat({ frequency_penalty: 1000 }), 400)).param, "frequency_penalty");
});
check("chat", "logit_bias", "bans a token, and forces one", async () => {
	const first = await chat({ max_tokens: 1, logprobs: true }), [id] = await tokens(first.choices[0].logprobs.content[0].token);
	assert.notEqual(await text({ max_tokens: 1, logit_bias: { [id]: -100 } }), first.choices[0].message.content);
	const [yes] = await tokens(" yes");
	assert.equal(await text({ max_tokens: 3, logit_bias: { [yes]: 100 }, repeat_penalty: 1 }), " yes yes yes");
});
check("chat", "logit_bias", "that is none is refused", async () => {
	for (const logit_bias of [{ x: 1 }, { 5: 101 }, { 999999: 1 }]) assert.equal((await refused(() => chat({ logit_bias }), 400)).param, "logit_bias");
});
for (const [field, value] of [["top_k", 1], ["min_p", 1], ["typical_p", 0.0001]])
	check("chat (not OpenAI's)", field, "makes a hot answer the same with every seed", async () => {
		assert.equal((await texts(SEEDS, (seed) => text({ messages: STORY, temperature: 2, seed, [field]: value }))).size, 1);
	});
check("chat (not OpenAI's)", "repeat_penalty", "changes what repeats", async () => assert.notEqual(await text({ ...AGAIN, repeat_penalty: 1.8 }), await text(AGAIN)));

/* ---- log probabilities ---- */

check("chat", "logprobs", "belong to the tokens of the text", async () => {
	const r = await chat({ logprobs: true }), list = r.choices[0].logprobs.content;
	assert.equal(list.map((t) => t.token).join(""), r.choices[0].message.content);
	assert.equal(Buffer.from(list.flatMap((t) => t.bytes)).toString(), r.choices[0].message.content);
	for (const t of list) assert.ok(t.logprob <= 0 && t.top_logprobs.length === 0);
	assert.equal((await chat()).choices[0].logprobs, null);
});
check("chat", "logprobs", "come with the chunks of a stream", async () => {
	const chunks = await streamed({ logprobs: true });
	const list = chunks.flatMap((c) => c.choices).flatMap((c) => c.logprobs?.content ?? []);
	assert.equal(list.map((t) => t.token).join(""), joined(chunks));
});
check("chat", "top_logprobs", "are so many, the likeliest first", async () => {
	const r = await chat({ logprobs: true, top_logprobs: 3 });
	for (const t of r.choices[0].logprobs.content) {
		const list = t.top_logprobs.map((x) => x.logprob);
		assert.equal(list.length, 3);
		assert.deepEqual(list, [...list].sort((a, b) => b - a));
	}
	assert.equal((await refused(() => chat({ logprobs: true, top_logprobs: 21 }), 400)).param, "top_logprobs");
	assert.equal((await refused(() => chat({ top_logprobs: 2 }), 400)).param, "top_logprobs");
});

/* ---- streams ---- */

check("chat", "stream", "says what the whole answer says", async () => {
	const whole = await chat(), chunks = await streamed();
	assert.equal(joined(chunks), whole.choices[0].message.content);
	assert.ok(chunks.length > 3 && chunks.every((c) => c.object === "chat.completion.chunk" && c.id === chunks[0].id && c.choices[0].delta.role === "assistant"));
	assert.deepEqual(chunks.map((c) => c.choices[0].finish_reason), [...Array(chunks.length - 1).fill(null), whole.choices[0].finish_reason]);
});
check("chat", "stream", "ends with [DONE], as server-sent events", async () => {
	const r = await fetch(`${URL}/v1/chat/completions`, { method: "POST", headers: { authorization: `Bearer ${KEY}` }, body: JSON.stringify({ ...SHORT, max_tokens: 2, stream: true }) });
	assert.equal(r.headers.get("content-type"), "text/event-stream");
	const lines = (await r.text()).split("\n").filter(Boolean);
	assert.ok(lines.every((l) => l.startsWith("data: ") || l.startsWith(":")));
	assert.equal(lines.at(-1), "data: [DONE]");
});
check("chat", "stream_options.include_usage", "adds one chunk with usage, else there is none", async () => {
	const chunks = await streamed({ stream_options: { include_usage: true } });
	assert.deepEqual(chunks.at(-1).choices, []);
	assert.equal(chunks.at(-1).usage.completion_tokens, (await chat()).usage.completion_tokens);
	assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
	assert.ok((await streamed()).every((c) => !c.usage && c.choices.length === 1));
	assert.equal((await refused(() => chat({ stream_options: { include_usage: true } }), 400)).param, "stream_options");
});
check("chat", "stream helper", "gathers the final completion and tells each piece", async () => {
	const s = client.chat.completions.stream({ ...SHORT, stream_options: { include_usage: true } });
	let said = "";
	s.on("content", (piece) => (said += piece));
	const final = await s.finalChatCompletion();
	assert.equal(said, await text());
	assert.equal(final.choices[0].message.content, said);
	assert.ok((await s.totalUsage()).total_tokens > 0);
});

/* ---- the form of the answer ---- */

check("chat", "response_format json_object", "is an object", async () => {
	const r = await chat({ messages: [{ role: "user", content: "A cat with name and age." }], max_tokens: 120, response_format: { type: "json_object" } });
	assert.ok(r.choices[0].message.content.trim().startsWith("{"));
	if (r.choices[0].finish_reason === "stop") JSON.parse(r.choices[0].message.content);
});
const SCHEMA = { type: "json_schema", json_schema: { name: "answer", strict: true, schema: ANSWER } };
check("chat", "response_format json_schema", "is kept to, whole and streamed", async () => {
	const r = await chat({ response_format: SCHEMA, max_tokens: 40 });
	assert.equal(r.choices[0].finish_reason, "stop");
	assert.deepEqual(Object.keys(JSON.parse(r.choices[0].message.content)), ["ok"]);
	assert.deepEqual(Object.keys(JSON.parse(joined(await streamed({ response_format: SCHEMA, max_tokens: 40 })))), ["ok"]);
});
check("chat", "response_format json_schema", "that is none is refused before a word is said", async () => {
	const format = (schema) => ({ response_format: { type: "json_schema", json_schema: { name: "x", schema } } });
	for (const schema of [{ type: "nothing" }, { $ref: "#/nowhere" }]) assert.equal((await refused(() => chat(format(schema)), 400)).param, "response_format");
});
check("chat", "response_format text", "is the plain answer, another type is refused", async () => {
	assert.equal(await text({ response_format: { type: "text" } }), await text());
	assert.equal((await refused(() => chat({ response_format: { type: "xml" } }), 400)).param, "response_format");
});
check("chat", "parse helper (zod)", "gives the parsed value", async () => {
	const r = await client.chat.completions.parse({ ...SHORT, max_tokens: 40, response_format: zodResponseFormat(z.object({ ok: z.boolean() }), "answer") });
	assert.equal(typeof r.choices[0].message.parsed.ok, "boolean");
});

/* ---- tools ---- */

check("chat", "tools", "stand in the prompt", async () => assert.ok((await read({ tools: TWO })) > (await read()) + 40));
check("chat", "tool_choice required", "calls a function, with arguments by its schema", async () => {
	const r = await chat({ ...CALL, tool_choice: "required" }), m = r.choices[0].message;
	assert.equal(r.choices[0].finish_reason, "tool_calls");
	assert.equal(m.content, null);
	assert.equal(m.tool_calls[0].type, "function");
	assert.match(m.tool_calls[0].id, /^call_/);
	assert.ok(["weather", "population"].includes(m.tool_calls[0].function.name));
	assert.ok(["Rome", "Oslo"].includes(JSON.parse(m.tool_calls[0].function.arguments).city));
});
for (const name of ["weather", "population"])
	check("chat", "tool_choice function", `calls ${name} when that is named`, async () => {
		const r = await chat({ ...CALL, tool_choice: { type: "function", function: { name } } });
		assert.deepEqual(r.choices[0].message.tool_calls.map((c) => c.function.name), [name]);
	});
check("chat", "tool_choice none", "never calls", async () => {
	const r = await chat({ ...CALL, model: "thinker", reasoning_effort: "none", tool_choice: "none" });
	assert.equal(r.choices[0].message.tool_calls, undefined);
	assert.notEqual(r.choices[0].finish_reason, "tool_calls");
});
check("chat", "tool_choice", "of a function that is not there, or another word, is refused", async () => {
	for (const tool_choice of ["perhaps", { type: "function", function: { name: "nobody" } }]) assert.equal((await refused(() => chat({ ...CALL, tool_choice }), 400)).param, "tool_choice");
});
check("chat", "tool_choice allowed_tools", "is refused by name", () =>
	refusedOr(() => chat({ ...CALL, tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [] } } }), /tool_choice.type must be function/,
		"send only those tools that may be called", (r) => assert.ok(r.choices)));
check("chat", "tools custom", "is refused by name", () =>
	refusedOr(() => chat({ ...CALL, tools: [{ type: "custom", custom: { name: "x" } }] }), /tools/, "tools have a JSON schema here", (r) => assert.ok(r.choices)));
check("chat", "parallel_tool_calls", "false is one call at most, true may be several", async () => {
	const ask = (parallel_tool_calls) => chat({ ...CALL, tool_choice: "required", parallel_tool_calls, max_tokens: 120 });
	assert.equal((await ask(false)).choices[0].message.tool_calls.length, 1);
	const many = (await ask(true)).choices[0];
	assert.ok(many.message.tool_calls.length > 1 || many.finish_reason === "length", "this model would call once anyway");
});
check("chat", "tools", "are called in a stream, as pieces with index, id and name", async () => {
	const chunks = await streamed({ ...CALL, tool_choice: "required" });
	const parts = chunks.flatMap((c) => c.choices).flatMap((c) => c.delta.tool_calls ?? []);
	assert.equal(parts[0].index, 0);
	assert.match(parts[0].id, /^call_/);
	JSON.parse(parts.map((p) => p.function.arguments).join(""));
	assert.equal(chunks.at(-1).choices[0].finish_reason, "tool_calls");
});
check("chat", "messages.tool_calls, tool_call_id", "go back into the prompt with the result", async () => {
	const calls = [{ id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Rome"}' } }];
	const talk = (content, list = calls) => ({ model: "thinker", reasoning_effort: "none", tools: TWO, messages: [...WEATHER, { role: "assistant", content: null, tool_calls: list }, { role: "tool", tool_call_id: "call_1", content }] });
	const short = await read(talk("Sunny."));
	assert.equal((await read(talk("Sunny. Sunny."))) - short, (await tokens(" Sunny.")).length);
	const longer = structuredClone(calls);
	longer[0].function.arguments = '{"city":"Rome","country":"Italy"}';
	assert.ok((await read(talk("Sunny.", longer))) > short);
	const broken = structuredClone(calls);
	broken[0].function.arguments = "Rome";
	await refused(() => chat(talk("Sunny.", broken)), 400, /arguments/);
});
check("chat", "runTools helper", "calls the function here and gives its arguments", async () => {
	const cities = [];
	const weather = { type: "function", function: { ...TWO[0].function, parse: JSON.parse, function: (a) => (cities.push(a.city), "Sunny.") } };
	const run = client.chat.completions.runTools({ ...SHORT, ...CALL, tools: [weather], tool_choice: { type: "function", function: { name: "weather" } } });
	assert.equal(await run.finalFunctionToolCallResult(), "Sunny.");
	assert.ok(cities.length === 1 && ["Rome", "Oslo"].includes(cities[0]));
});

/* ---- thinking ---- */

const think = (more) => client.chat.completions.create({ model: "thinker", messages: HI, temperature: 0, max_tokens: 40, reasoning_budget_tokens: 8, ...more });
check("chat", "reasoning_effort", "none does not think, the others are told to the model", async () => {
	assert.equal((await think({ reasoning_effort: "none" })).choices[0].message.reasoning, undefined);
	const counts = [];
	for (const reasoning_effort of ["low", "medium", "high"]) {
		const r = await think({ reasoning_effort });
		assert.ok(r.choices[0].message.reasoning);
		counts.push(r.usage.prompt_tokens);
	}
	assert.equal(new Set(counts).size, 3);
	assert.equal((await refused(() => think({ reasoning_effort: "enormous" }), 400)).param, "reasoning_effort");
});
check("chat", "reasoning_effort", "has no effect on a model that does not think, and that is said", async () => warned(await chat({ reasoning_effort: "high" }), "does not think"));
check("chat", "message.reasoning", "is the thinking, apart from the text, whole and streamed", async () => {
	const m = (await think()).choices[0].message;
	assert.ok(m.reasoning && m.content && !m.content.includes("</think>") && !m.reasoning.includes("<think>"));
	const chunks = await all(await think({ stream: true }));
	assert.equal(chunks.flatMap((c) => c.choices).map((c) => c.delta.reasoning ?? "").join(""), m.reasoning);
	assert.equal(joined(chunks), m.content);
});
check("chat (not OpenAI's)", "reasoning.max_tokens", "is a budget", async () => {
	const of = async (max_tokens) => (await tokens((await think({ reasoning_budget_tokens: undefined, reasoning: { max_tokens } })).choices[0].message.reasoning)).length;
	assert.ok((await of(4)) < (await of(16)));
});

/* ---- pictures ---- */

check("chat", "messages.content image_url", "is looked at: another picture, another reading", async () => {
	const one = await look(picture(3), { type: "text", text: "What is it?" }), same = await look(picture(3), { type: "text", text: "What is it?" });
	const other = await look(picture(5), { type: "text", text: "What is it?" }), none = await look({ type: "text", text: "What is it?" });
	assert.equal(one.usage.prompt_tokens, none.usage.prompt_tokens + 4);
	assert.equal(same.choices[0].message.content, one.choices[0].message.content);
	assert.equal(same.usage.prompt_tokens_details.cached_tokens, same.usage.prompt_tokens - 1);
	assert.ok(other.usage.prompt_tokens_details.cached_tokens < other.usage.prompt_tokens - 4);
});
check("chat", "messages.content image_url", "keeps its place between texts", async () => {
	const a = await look(picture(7), { type: "text", text: "What is it?" }), b = await look({ type: "text", text: "What is it?" }, picture(7));
	assert.equal(a.usage.prompt_tokens, b.usage.prompt_tokens);
	assert.ok(b.usage.prompt_tokens_details.cached_tokens < b.usage.prompt_tokens - 4);
});
check("chat", "messages.content image_url (address)", "is refused: nothing is fetched", async () => {
	await refused(() => look({ type: "image_url", image_url: { url: "https://example.org/a.png" } }), 400, /not fetched/);
	return unsupported("the server opens no address that a request names; send the picture as a data: URL");
});
check("chat", "messages.content image_url", "is refused by a model that does not see, and when it is none", async () => {
	assert.equal((await refused(() => chat({ messages: [{ role: "user", content: [picture(1)] }] }), 400, /vision/)).param, "messages");
	await refused(() => look({ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }), 400, /not a picture/);
});

/* ---- what has no effect, or another one ---- */

for (const [field, value] of [["user", "u-1"], ["metadata", { a: "b" }], ["store", true], ["prediction", { type: "content", content: "x" }], ["verbosity", "low"],
	["prompt_cache_key", "k"], ["safety_identifier", "s"]])
	check("chat", field, "has no effect, which a warning says", async () => {
		const { data, response } = await client.chat.completions.create({ ...SHORT, max_tokens: 1, [field]: value }).withResponse();
		warned(data, `"${field}"`);
		assert.match(response.headers.get("x-tresor-warnings"), new RegExp(field));
		return differs("accepted without an effect; the answer's warnings name it");
	});
for (const [field, value, why] of [["functions", [{ name: "f" }], "OpenAI's old form of tools; use tools"], ["audio", { voice: "alloy", format: "wav" }, "no model here speaks"],
	["web_search_options", { search_context_size: "low" }, "the server opens no connection that a request asks for"]])
	check("chat", field, "is refused by name", async () => {
		assert.equal((await refused(() => chat({ [field]: value }), 400)).param, field);
		return unsupported(why);
	});
check("chat", "service_tier", "flex waits for others, another word is refused", async () => {
	assert.equal(await text({ service_tier: "flex" }), await text());
	warned(await chat({ service_tier: "priority" }), "service_tier");
	assert.equal((await refused(() => chat({ service_tier: "gold" }), 400)).param, "service_tier");
	return differs("flex lets everybody else go first; priority changes nothing, requests without it are first already");
});
check("chat", "a field that nobody knows", "is named in a warning", async () => warned(await chat({ max_tokens: 1, zzz: 1 }), '"zzz"'));
check("chat (stored)", "list, retrieve, update, delete", "are not there", async () => {
	await refused(() => client.chat.completions.retrieve("chatcmpl-1"), 404);
	return unsupported("chat completions are not kept; conversations are kept by /v1/responses");
});

/* ---- leaving, waiting ---- */

const LONG = { model: "smollm2", temperature: 0, messages: STORY, max_tokens: 4000,
	response_format: { type: "json_schema", json_schema: { name: "long", schema: LONG_SCHEMA } } };
for (const stream of [true, false])
	check("cancel", stream ? "abort of a stream" : "abort of a whole answer", "ends it on the server", async () => {
		const leave = new AbortController();
		const ask = async () => {
			const r = await client.chat.completions.create({ ...LONG, stream }, { signal: leave.signal });
			if (stream) await all(r);
			leave.signal.throwIfAborted(); /* a stream that was aborted ends quietly */
		};
		await stops(ask, () => leave.abort());
	});
check("cancel", "a reader that breaks off", "ends it on the server", async () => {
	for await (const _ of await client.chat.completions.create({ ...LONG, stream: true })) {
		await until(async () => (await active()) > 0, "the answer runs");
		break;
	}
	await until(async () => (await active()) === 0, "the answer ends with its reader");
});
check("cancel", "timeout", "is the client's error and ends it on the server", async () => {
	let error;
	await stops(() => connect(KEY, { timeout: 700 }).chat.completions.create(LONG).catch((e) => {
		error = e;
		throw e;
	}), () => {});
	assert.ok(error instanceof OpenAI.APIConnectionTimeoutError);
});

/* ---- errors ---- */

check("errors", "AuthenticationError", "for a key that is none", async () => {
	const e = await refused(() => connect("sk-nonsense").chat.completions.create(SHORT), 401);
	assert.ok(e instanceof OpenAI.AuthenticationError);
	assert.deepEqual([e.code, e.type], ["invalid_api_key", "invalid_request_error"]);
});
check("errors", "PermissionDeniedError", "for a key without the scope", async () => {
	const e = await refused(() => connect(process.env.CONFORM_KEY_READ).chat.completions.create(SHORT), 403, /scope/);
	assert.ok(e instanceof OpenAI.PermissionDeniedError);
	assert.equal(e.type, "permission_error");
});
check("errors", "BadRequestError", "names the field", async () => {
	const e = await refused(() => chat({ temperature: "hot" }), 400, /temperature/);
	assert.ok(e instanceof OpenAI.BadRequestError);
	assert.deepEqual([e.param, e.type], ["temperature", "invalid_request_error"]);
});
check("errors", "requestID", "is there, with an error and with an answer", async () => {
	assert.ok((await chat({ max_tokens: 1 }))._request_id);
	assert.ok((await refused(() => chat({ model: "nope" }), 404)).requestID);
});
check("errors", "RateLimitError", "when too many wait, with Retry-After", async () => {
	const leave = new AbortController();
	const asked = [...Array(72)].map(() => client.chat.completions.create({ ...LONG, n: 8, response_format: undefined, stream: true }, { signal: leave.signal }).catch((e) => e));
	const first = await Promise.race(asked.map(async (p) => {
		const e = await p;
		return e instanceof OpenAI.RateLimitError ? e : new Promise(() => {});
	}));
	leave.abort();
	await Promise.all(asked);
	assert.equal(first.code, "rate_limit_exceeded");
	assert.ok(Number(first.headers.get("retry-after")) >= 1);
	await until(async () => (await active()) + (await waiting()) === 0, "whoever left waits no more", 20);
});
