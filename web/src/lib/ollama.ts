/* Two routes that Ollama's clients use, too: what a model is made of, and a question that leaves
 * nothing behind (no conversation; `temporary` keeps it off the disk). */
import { LineParser } from "../core/lines";
import type { Slug } from "../gen/api";
import { ApiError } from "./client";

/* Of the answer of /api/show; all of it may be missing from an older server. */
export interface Shown {
	license?: string;
	licence_name?: string;
	system?: string;
	template?: string;
	parameters?: string;
	capabilities?: string[];
	digest?: string;
	model_digest?: string;
	modified_at?: string;
	tuned?: string;
	origin?: Origin;
}
export interface Origin {
	source?: string;
	person_name?: string;
	at_ms?: number;
}

export interface Line {
	message?: { content?: string; thinking?: string };
	done?: boolean;
	done_reason?: string;
	error?: string;
	warnings?: string[];
	eval_count?: number;
	eval_duration?: number; /* ns, as the one below */
	prompt_eval_count?: number;
	prompt_eval_duration?: number;
	load_duration?: number;
	engine_build?: string;
}

const SLUGS: Record<number, Slug> = { 400: "invalid", 401: "login_required", 403: "forbidden", 404: "not_found", 408: "timeout", 413: "too_large", 429: "queue_full", 503: "queue_full" };

async function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
	let reply: Response;
	try {
		reply = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, credentials: "same-origin", cache: "no-store", body: JSON.stringify(body), ...(signal ? { signal } : {}) });
	} catch (e) {
		if (signal?.aborted) throw e;
		throw new ApiError("offline", 0, "offline");
	}
	if (!reply.ok) {
		const text = await reply.text().catch(() => "");
		throw new ApiError(SLUGS[reply.status] ?? "internal", reply.status, said(text));
	}
	return reply;
}

function said(text: string): string {
	try {
		const e = (JSON.parse(text) as { error?: unknown }).error;
		return typeof e === "string" ? e : "";
	} catch {
		return "";
	}
}

export async function show(model: string, signal?: AbortSignal): Promise<Shown> {
	return (await (await post("/api/show", { model }, signal)).json()) as Shown;
}

/* Calls `hear` for each line. Ends with the stream; aborting the signal ends the generation, too. */
export async function ask(model: string, question: string, hear: (line: Line) => void, signal: AbortSignal): Promise<void> {
	const reply = await post("/api/chat", { model, messages: [{ role: "user", content: question }], stream: true, temporary: true }, signal);
	const lines = new LineParser();
	const reader = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
	for (;;) {
		const part = await reader?.read();
		if (!part || part.done) break;
		for (const line of lines.push(part.value)) hear(line as Line);
	}
	for (const line of lines.end()) hear(line as Line);
}
