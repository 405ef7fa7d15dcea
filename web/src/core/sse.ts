/* Server-sent events, as in the HTML standard's "event stream interpretation", fed in pieces.
 * We read the stream by fetch() and not by EventSource, because that one hides the status: a
 * session that ended (401) must lead to the log-in page, not to a reconnect for ever. */

export interface SseEvent {
	event: string;
	data: string;
	id: string;
}

export class SseParser {
	#rest = "";
	#event = "";
	#data: string[] = [];
	#id = "";
	#first = true;

	/* Takes the next piece of text; returns the events that became whole with it. */
	push(piece: string): SseEvent[] {
		if (this.#first && piece.length > 0) {
			this.#first = false;
			if (piece.charCodeAt(0) === 0xfeff) piece = piece.slice(1);
		}
		const text = this.#rest + piece;
		const out: SseEvent[] = [];
		let at = 0;
		for (;;) {
			const end = lineEnd(text, at);
			if (end < 0) break;
			this.#line(text.slice(at, end), out);
			/* a CR at the very end may be half of CRLF: lineEnd() waits for the next byte */
			at = text[end] === "\r" && text[end + 1] === "\n" ? end + 2 : end + 1;
		}
		this.#rest = text.slice(at);
		return out;
	}

	#line(line: string, out: SseEvent[]): void {
		if (line === "") {
			if (this.#data.length > 0)
				out.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
			this.#event = "";
			this.#data = [];
			return;
		}
		const colon = line.indexOf(":");
		if (colon === 0) return; /* a comment keeps the line open */
		const field = colon < 0 ? line : line.slice(0, colon);
		let value = colon < 0 ? "" : line.slice(colon + 1);
		if (value.startsWith(" ")) value = value.slice(1);
		if (field === "data") this.#data.push(value);
		else if (field === "event") this.#event = value;
		else if (field === "id" && !value.includes("\0")) this.#id = value;
	}
}

function lineEnd(text: string, from: number): number {
	for (let i = from; i < text.length; i++) {
		const c = text.charCodeAt(i);
		if (c === 10) return i;
		if (c === 13) return i + 1 < text.length ? i : -1;
	}
	return -1;
}
