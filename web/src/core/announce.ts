/* What a screen reader is told of a growing answer: whole sentences, not single words, and never
 * the same twice. The person hears it as it grows without the list being read again. */
export class Announcer {
	#said = 0;

	/* Text that became sayable since the last call; "" if no sentence ended. */
	next(text: string, done: boolean): string {
		if (text.length < this.#said) this.#said = text.length; /* taken back */
		const fresh = text.slice(this.#said);
		let end = fresh.length;
		if (!done) {
			const m = /^[\s\S]*(?:[.!?:…]["“”')\]]*\s|\n)/.exec(fresh);
			end = m ? m[0].length : 0;
		}
		this.#said += end;
		return speakable(fresh.slice(0, end));
	}
}

/* Without the signs of Markdown, which would be read aloud. */
export function speakable(text: string): string {
	return text
		.replace(/^ {0,3}(?:`{3,}|~{3,}).*$/gm, "")
		.replace(/^\s*\|?[\s:|-]+\|?\s*$/gm, "")
		.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
		.replace(/^\s{0,3}(?:#{1,6}|>|[-*+])\s+/gm, "")
		.replace(/[*_`~|]+/g, "")
		.replace(/\s+/g, " ")
		.trim();
}
