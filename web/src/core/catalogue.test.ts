import { expect, test } from "vitest";
import type { Advice, Alias, Model, Trial } from "../gen/api";
import { baseName, entries, found, isHere, measuredSpeed, nextStep, splitPrompts, trialsOf, usesOf } from "./catalogue";

const model = (name: string, more: Partial<Model> = {}) => ({ name, digest: `d-${name}`, family: "gemma3", parameters: "4B", quantization: "Q4_K_M", size: 1, context: 1, loaded: false, starter: false, capabilities: ["completion", "vision"], ...more }) as Model;

test("kept versions stand under their name, aliases elsewhere", () => {
	const list = [model("qwen3:8b"), model("gemma3:4b@sha256:aa", { kept: true }), model("gemma3:4b"), model("assistant", { alias_of: "gemma3:4b" }), model("gone:1b@sha256:bb", { kept: true })];
	expect(entries(list).map((e) => [e.model.name, e.kept.map((k) => k.name)])).toEqual([["gemma3:4b", ["gemma3:4b@sha256:aa"]], ["gone:1b@sha256:bb", []], ["qwen3:8b", []]]);
	expect(baseName("hf.co/u/r:Q4@sha256:00ff")).toBe("hf.co/u/r:Q4");
});

test("search looks at every property, and every word counts", () => {
	const m = model("gemma3:4b", { licence: "Gemma Terms of Use" });
	for (const hit of ["", "GEMMA", "4b q4", "vision terms", "d-gemma3"]) expect(found(m, hit), hit).toBe(true);
	for (const miss of ["qwen", "gemma qwen", "embedding"]) expect(found(m, miss), miss).toBe(false);
});

const target = (digest: string) => ({ model: "m", digest, person: "", person_name: "", since_ms: 0 });
const alias = (name: string, production?: string, candidate?: string, previous?: string): Alias => ({ name, ...(production ? { production: target(production) } : {}), ...(candidate ? { candidate: target(candidate) } : {}), ...(previous ? { previous: target(previous) } : {}) });
const trial = (state: Trial["state"], old_digest: string, new_digest: string, answered = 20) => ({ id: `${state}-${old_digest}`, state, old_digest, new_digest, answered }) as Trial;

test("what uses a version", () => {
	const all = [alias("assistant", "a", "b", "c"), alias("code", "b"), alias("empty")];
	expect(usesOf("b", all)).toEqual([{ alias: "assistant", channel: "candidate" }, { alias: "code", channel: "production" }]);
	expect(usesOf("x", all)).toEqual([]);
	expect(trialsOf("b", new Map([["assistant", [trial("done", "a", "b"), trial("failed", "b", "c"), trial("done", "a", "c")]], ["code", []]]))).toEqual([{ alias: "assistant", n: 2 }]);
});

test("the next step of an alias", () => {
	const both = alias("x", "a", "b");
	expect(nextStep(alias("x", "a"), 30, [])).toBe("candidate");
	expect(nextStep(alias("x", "a", "a"), 30, [])).toBe("none");
	expect(nextStep(both, 19, [])).toBe("prompts");
	expect(nextStep(both, 20, [])).toBe("trial");
	expect(nextStep(both, 20, [trial("running", "a", "b", 3)])).toBe("running");
	expect(nextStep(both, 20, [trial("done", "a", "b")])).toBe("decision");
	expect(nextStep(both, 20, [trial("done", "a", "b", 19)])).toBe("trial");
	expect(nextStep(both, 20, [trial("accepted", "a", "b")])).toBe("promote");
	expect(nextStep(both, 20, [trial("accepted", "b", "a")]), "the other direction does not count").toBe("trial");
	expect(nextStep(both, 20, [trial("rejected", "a", "b"), trial("failed", "a", "b")])).toBe("trial");
});

test("a row of the table is here under its own name or the one it comes from", () => {
	const a = { name: "gemma3:4b", source: "hf.co/ggml-org/gemma-3-4b-it-GGUF:Q4_K_M" } as Advice;
	expect(isHere(a, [model("Gemma3:4B")])).toBe(true);
	expect(isHere(a, [model("hf.co/ggml-org/gemma-3-4b-it-GGUF:Q4_K_M")])).toBe(true);
	expect(isHere(a, [model("gemma3:4b-it"), model("gemma3:4b", { alias_of: "x" })])).toBe(false);
	expect(isHere({ name: "phi4", source: "phi4" } as Advice, [model("phi4:latest")])).toBe(true);
});

test("speed is what one person got", () => {
	expect(measuredSpeed(undefined)).toBe(0);
	expect(measuredSpeed({ gap_p50_ms: -1 })).toBe(0);
	expect(measuredSpeed({ gap_p50_ms: 40 })).toBe(25);
});

test("pasted prompts", () => {
	expect(splitPrompts(" one \r\ntwo\n\n")).toEqual(["one", "two"]);
	expect(splitPrompts("first\nwith two lines\n\n \nsecond\n\nsecond")).toEqual(["first\nwith two lines", "second"]);
	expect(splitPrompts(" \n ")).toEqual([]);
});
