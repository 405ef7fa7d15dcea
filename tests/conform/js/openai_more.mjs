/* OpenAI's client: completions, embeddings, models, and what is not there. */
import OpenAI from "openai";
import { all, assert, checks, length, near, refused, refusedOr, texts, tokens, unsupported } from "./lib.mjs";
import { STORY, connect } from "./openai.mjs";

const check = checks("openai-js");
const client = connect();
const COUNT = { model: "smollm2", prompt: "Count: one, two, three,", max_tokens: 10, temperature: 0 };
const complete = (more) => client.completions.create({ ...COUNT, ...more });
const text = async (more) => (await complete(more)).choices[0].text;
const SEEDS = [1, 2, 3, 4];
const TALE = { prompt: "Once upon a time", max_tokens: 12 };

/* ---- completions ---- */

check("completions", "prompt", "goes on, and is counted", async () => {
	const r = await complete();
	assert.equal(r.object, "text_completion");
	assert.match(r.id, /^cmpl-/);
	assert.ok(r.choices[0].text);
	assert.equal(r.usage.prompt_tokens, (await tokens(COUNT.prompt)).length);
	assert.equal(await text({ prompt: [COUNT.prompt] }), r.choices[0].text);
	assert.equal((await refused(() => complete({ prompt: 7 }), 400)).param, "prompt");
});
check("completions", "prompt (several)", "are refused by name", () =>
	refusedOr(() => complete({ prompt: ["a", "b"] }), /lists of prompts/, "one prompt a request; requests that come together are answered together", (r) => assert.equal(r.choices.length, 2)));
check("completions", "prompt (token ids)", "are refused by name", () =>
	refusedOr(() => complete({ prompt: [1, 2, 3] }), /token ids/, "send the text", (r) => assert.equal(r.usage.prompt_tokens, 3)));
check("completions", "model", "that is not there is a NotFoundError", async () => assert.equal((await refused(() => complete({ model: "nope" }), 404)).code, "model_not_found"));
check("completions", "max_tokens", "is a limit", async () => {
	const r = await complete({ max_tokens: 3 });
	assert.equal(r.usage.completion_tokens, 3);
	assert.equal(r.choices[0].finish_reason, "length");
	assert.equal((await refused(() => complete({ max_tokens: 0 }), 400)).param, "max_tokens");
});
check("completions", "stop", "ends the text before the word", async () => {
	const long = await text({ ...TALE, max_tokens: 20 }), word = long.split(" ")[4];
	const r = await complete({ ...TALE, max_tokens: 20, stop: ["never said", word] });
	assert.equal(r.choices[0].text, long.slice(0, long.indexOf(word)));
	assert.equal(r.choices[0].finish_reason, "stop");
});
check("completions", "echo", "says the prompt first, whole and streamed", async () => {
	const want = COUNT.prompt + (await text());
	assert.equal(await text({ echo: true }), want);
	assert.equal((await all(await complete({ echo: true, stream: true }))).map((c) => c.choices[0].text).join(""), want);
});
check("completions", "logprobs", "are those of the text, with the likeliest beside", async () => {
	const r = await complete({ max_tokens: 4, logprobs: 2 }), p = r.choices[0].logprobs;
	assert.equal(p.tokens.join(""), r.choices[0].text);
	assert.ok(p.token_logprobs.length === 4 && p.token_logprobs.every((x) => x <= 0));
	assert.ok(p.top_logprobs.every((t) => Object.keys(t).length >= 1 && Object.keys(t).length <= 2));
	assert.deepEqual(p.text_offset, p.tokens.map((_, i) => p.tokens.slice(0, i).join("").length));
	assert.equal((await complete()).choices[0].logprobs, null);
	assert.equal((await refused(() => complete({ logprobs: 99 }), 400)).param, "logprobs");
});
check("completions", "echo with logprobs", "is refused by name", () =>
	refusedOr(() => complete({ echo: true, logprobs: 1 }), /echo does not go with logprobs/, "the probabilities of a prompt's own tokens are not computed", (r) =>
		assert.ok(r.choices[0].logprobs.tokens.length > 10)));
check("completions", "suffix", "gives what stands between, in the model's own form", async () => {
	const before = "def add(a, b):\n    return ", behind = "\n\nprint(add(1, 2))\n", ask = { model: "fim", prompt: before, max_tokens: 8, temperature: 0 };
	const r = await client.completions.create({ ...ask, suffix: behind });
	const longer = await client.completions.create({ ...ask, suffix: `${behind}print(add(3, 4))\n` }), none = await client.completions.create(ask);
	assert.equal(longer.usage.prompt_tokens - r.usage.prompt_tokens, (await tokens("print(add(3, 4))\n")).length);
	assert.ok(r.usage.prompt_tokens > none.usage.prompt_tokens + 3);
	const e = await refused(() => complete({ suffix: "b" }), 400, /FIM/);
	assert.equal(e.param, "suffix");
});
check("completions", "n", "gives several; their seeds count up", async () => {
	const r = await complete({ ...TALE, n: 3, seed: 5, temperature: 1 });
	assert.deepEqual(r.choices.map((c) => c.index), [0, 1, 2]);
	assert.equal(r.choices[1].text, await text({ ...TALE, seed: 6, temperature: 1 }));
});
check("completions", "best_of", "more than n is refused by name", async () => {
	assert.equal((await complete({ n: 2, best_of: 2 })).choices.length, 2);
	return refusedOr(() => complete({ best_of: 3 }), /best_of/, "every answer that is made is given; ask with n", (r) => assert.equal(r.choices.length, 1));
});
check("completions", "stream, stream_options", "say what the whole text says, with usage when asked", async () => {
	const chunks = await all(await complete({ stream: true, stream_options: { include_usage: true } }));
	const whole = await complete();
	assert.equal(chunks.flatMap((c) => c.choices).map((c) => c.text).join(""), whole.choices[0].text);
	assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
	assert.ok((await all(await complete({ stream: true }))).every((c) => !c.usage));
});
check("completions", "temperature", "0 is always the same, 1.5 is not", async () => {
	assert.equal((await texts(SEEDS, (seed) => text({ ...TALE, seed }))).size, 1);
	assert.ok((await texts(SEEDS, (seed) => text({ ...TALE, temperature: 1.5, seed }))).size > 2);
});
check("completions", "seed", "repeats a text, another gives another", async () => {
	const ask = (seed) => text({ ...TALE, temperature: 1.2, seed });
	assert.equal((await texts([9, 9, 9], ask)).size, 1);
	assert.ok((await texts(SEEDS, ask)).size > 2);
});
check("completions", "top_p", "of almost nothing leaves one token", async () => assert.equal((await texts(SEEDS, (seed) => text({ ...TALE, temperature: 2, top_p: 0.0001, seed }))).size, 1));
for (const field of ["presence_penalty", "frequency_penalty"])
	check("completions", field, "turns the text away from what was said", async () => {
		const again = { prompt: "one two one two one two one two one two", max_tokens: 16, repeat_penalty: 1 };
		assert.notEqual(await text({ ...again, [field]: 2 }), await text(again));
	});
check("completions", "logit_bias", "forces a token", async () => {
	const [yes] = await tokens(" yes");
	assert.equal(await text({ max_tokens: 3, logit_bias: { [yes]: 100 }, repeat_penalty: 1 }), " yes yes yes");
});
check("completions", "user", "has no effect, which a warning says", async () => assert.ok((await complete({ max_tokens: 1, user: "u" })).warnings.some((w) => w.includes('"user"'))));

/* ---- embeddings ---- */

const embed = (input, more) => client.embeddings.create({ model: "minilm", input, encoding_format: "float", ...more });
const CATS = ["A cat sits on the mat.", "A kitten lies on the rug.", "The share price fell."];

check("embeddings", "input", "a text, or a list in its order", async () => {
	const r = await embed(CATS);
	assert.deepEqual(r.data.map((d) => [d.object, d.index]), [["embedding", 0], ["embedding", 1], ["embedding", 2]]);
	near((await embed(CATS[1])).data[0].embedding, r.data[1].embedding, 1e-3);
	const dot = (a, b) => a.reduce((s, x, i) => s + x * b[i], 0), [a, b, c] = r.data.map((d) => d.embedding);
	assert.ok(dot(a, b) > dot(a, c) + 0.2);
	for (const v of [a, b, c]) assert.ok(Math.abs(length(v) - 1) < 1e-5);
});
check("embeddings", "input", "token ids are the text that they are", async () => {
	const ids = [1037, 4937], want = (await embed("a cat")).data[0].embedding; /* in BERT's vocabulary */
	for (const input of [ids, [ids, ids]]) for (const d of (await embed(input)).data) near(d.embedding, want, 1e-3);
	assert.equal((await embed([ids, ids])).data.length, 2);
});
check("embeddings", "input", "that is empty is refused", async () => {
	for (const input of [[], [[]], 7]) assert.equal((await refused(() => embed(input), 400)).param, "input");
});
check("embeddings", "encoding_format", "base64 says the same as float, and is the client's default", async () => {
	const float = (await embed(CATS[0])).data[0].embedding;
	const raw = (await embed(CATS[0], { encoding_format: "base64" })).data[0].embedding;
	const bytes = Buffer.from(raw, "base64");
	near([...new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))], float, 1e-3);
	near([...(await client.embeddings.create({ model: "minilm", input: CATS[0] })).data[0].embedding], float, 1e-3);
	assert.equal((await refused(() => embed("a", { encoding_format: "hex" }), 400)).param, "encoding_format");
});
check("embeddings", "dimensions", "cuts the vector and brings it to length 1 again", async () => {
	const whole = (await embed(CATS[0])).data[0].embedding, cut = (await embed(CATS[0], { dimensions: 64 })).data[0].embedding;
	const head = whole.slice(0, 64), n = length(head);
	near(cut, head.map((x) => x / n), 1e-3);
	assert.equal((await refused(() => embed("a", { dimensions: 0 }), 400)).param, "dimensions");
});
check("embeddings", "usage", "counts the tokens", async () => {
	const one = (await embed(CATS[0])).usage, both = (await embed([CATS[0], CATS[0]])).usage;
	assert.equal(both.prompt_tokens, 2 * one.prompt_tokens);
	assert.equal(one.total_tokens, one.prompt_tokens);
});
check("embeddings", "model", "that is not there is a NotFoundError", async () => assert.equal((await refused(() => embed("a", { model: "nope" }), 404)).code, "model_not_found"));
check("embeddings", "user", "has no effect, which a warning says", async () => assert.ok((await embed("a", { user: "u" })).warnings.some((w) => w.includes('"user"'))));

/* ---- models ---- */

check("models", "list", "names every model", async () => {
	const list = await all(client.models.list());
	for (const name of ["smollm2", "thinker", "minilm", "seer"]) assert.ok(list.some((m) => m.id === `${name}:latest`), name);
	for (const m of list) assert.ok(m.object === "model" && m.owned_by && m.created > 1.7e9);
});
check("models", "retrieve", "finds one by its name", async () => {
	assert.equal((await client.models.retrieve("smollm2")).id, "smollm2:latest");
	const e = await refused(() => client.models.retrieve("nope"), 404, /'nope' not found/);
	assert.deepEqual([e.code, e.param], ["model_not_found", "model"]);
});
check("models", "delete", "is not done by this API", async () => {
	await assert.rejects(() => client.models.delete("smollm2"), (e) => e.status === 405 || e.status === 404);
	assert.equal((await client.models.retrieve("smollm2")).id, "smollm2:latest");
	return unsupported("models are removed by /api/delete, `tresor rm` or the page");
});

/* ---- what is not there ---- */

for (const [field, ask, why] of [
	["audio.speech", () => client.audio.speech.create({ model: "smollm2", voice: "alloy", input: "x" }), "no model here speaks"],
	["audio.transcriptions", () => client.audio.transcriptions.create({ model: "smollm2", file: new File(["x"], "a.wav") }), "no model here hears"],
	["images", () => client.images.generate({ prompt: "x" }), "no model here paints"],
	["moderations", () => client.moderations.create({ input: "x" }), "there is no model for it"],
	["files", () => client.files.list(), "files are not kept by this API"],
	["uploads", () => client.uploads.create({ bytes: 1, filename: "a", mime_type: "text/plain", purpose: "batch" }), "files are not kept by this API"],
	["batches", () => client.batches.list(), "service_tier flex lets a request wait for all others"],
	["fineTuning", () => client.fineTuning.jobs.list(), "models are not trained here"],
	["vectorStores", () => client.vectorStores.list(), "make vectors by embeddings"],
	["conversations", () => client.conversations.create({}), "a conversation goes on by previous_response_id"],
])
	check("other routes", field, "is not there, and says so as JSON", async () => {
		const e = await refused(ask, 404);
		assert.ok(e instanceof OpenAI.NotFoundError && e.code === "not_found");
		return unsupported(why);
	});
