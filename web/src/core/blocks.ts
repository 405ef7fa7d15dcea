/* Cuts growing Markdown into blocks, so that a new piece of text costs one small block, however
 * long the answer is.
 *
 * Only the last block is open; every earlier one is final. A block of kind "md" is given to the
 * Markdown parser on its own; "code" is a fenced block at top level and needs no parser at all.
 * No md block exceeds MD_LINES_MAX lines or MD_CHARS_MAX characters: a longer list or table is cut
 * at an item or row (a table's next part repeats the head, marked `continues`), so the cost of one
 * step has a bound. What that gives up: link definitions ([a]: url) work inside their block only. */

export interface Block {
	id: number;
	kind: "md" | "code";
	text: string; /* md: source; code: the code without its fences */
	lang: string; /* code: first word of the info string */
	continues: boolean; /* the second or later part of a table: its head is a repetition */
	closed: boolean;
}

export const MD_LINES_MAX = 120;
export const MD_CHARS_MAX = 16_384;

const FENCE = /^( {0,3})(`{3,}|~{3,})(.*)$/;
const ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)/;
const HEADING = /^ {0,3}#{1,6}(?:[ \t]|$)/;
/* The start of a line that may still become an item, a heading, or more indented. */
const UNDECIDED = /^\s*(?:[-*+]|\d{1,9}[.)]?|#{1,6})?$/;
const DELIMITER_ROW = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

interface Fence {
	mark: string;
	length: number;
	indent: number;
}

export class BlockSplitter {
	readonly blocks: Block[] = [];
	#nextId = 1;
	#pending = ""; /* the line that has no newline yet */
	#pendingShown = 0; /* how many of its characters stand in the open block's text */
	#code: Fence | null = null; /* inside a top-level code block */
	#inner: Fence | null = null; /* inside a fence that belongs to a list item or quote */
	#isList = false;
	#lines = 0;
	#blank = false; /* the previous line was blank */
	#tableHead = ""; /* header and delimiter row of the open block, if it is a table */
	#previous = "";

	/* Takes the next piece. Afterwards `blocks` shows all text so far. */
	append(piece: string): void {
		this.#hidePending();
		let from = 0;
		for (;;) {
			const end = piece.indexOf("\n", from);
			if (end < 0) break;
			let line = this.#pending + piece.slice(from, end);
			if (line.endsWith("\r")) line = line.slice(0, -1);
			this.#pending = "";
			this.#line(line);
			from = end + 1;
		}
		this.#pending += piece.slice(from);
		while (!this.#code && this.#pending.length > MD_CHARS_MAX) this.#cutPending();
		this.#showPending();
	}

	/* No more text will come. */
	finish(): void {
		this.#hidePending();
		const line = this.#pending;
		this.#pending = "";
		if (line !== "") this.#line(line);
		this.#close();
		this.#code = null;
	}

	get #open(): Block | null {
		const last = this.blocks[this.blocks.length - 1];
		return last && !last.closed ? last : null;
	}

	#close(): void {
		const open = this.#open;
		if (open) {
			open.closed = true;
			open.text = open.kind === "md" ? open.text.replace(/\s+$/, "") : open.text;
			if (open.kind === "md" && open.text === "") this.blocks.pop();
		}
		this.#inner = null;
		this.#isList = false;
		this.#lines = 0;
		this.#blank = false;
		this.#tableHead = "";
		this.#previous = "";
	}

	#start(kind: Block["kind"], lang = "", continues = false): Block {
		this.#close();
		const block: Block = { id: this.#nextId++, kind, text: "", lang, continues, closed: false };
		this.blocks.push(block);
		return block;
	}

	#line(line: string): void {
		if (this.#code) this.#codeLine(line);
		else if (this.#inner) this.#innerLine(line);
		else this.#markdownLine(line);
	}

	#codeLine(line: string): void {
		if (this.#code && closes(line, this.#code)) {
			this.#close();
			this.#code = null;
			return;
		}
		const open = this.#open;
		if (open) open.text += (this.#code ? dedent(line, this.#code.indent) : line) + "\n";
	}

	/* A fenced part of a list item; when it grows too long it becomes a code block of its own. */
	#innerLine(line: string): void {
		const inner = this.#inner;
		if (inner && closes(line.trim(), inner)) this.#inner = null;
		if (inner && this.#inner && this.#lines >= MD_LINES_MAX) {
			this.#start("code");
			this.#code = inner;
			this.#codeLine(line);
			return;
		}
		this.#add(line);
	}

	#markdownLine(line: string): void {
		if (line.trim() === "") {
			if (this.#open) this.#add(line);
			this.#blank = true;
			return;
		}
		const fence = openingFence(line);
		if (fence && !(this.#isList && fence.indent >= 2)) {
			const lang = line.trim().slice(fence.length).trim().split(/[\s{,:]/)[0] ?? "";
			this.#start("code", lang.slice(0, 40));
			this.#code = fence;
			return;
		}
		const open = this.#open;
		const item = ITEM.test(line);
		const fresh = open !== null && this.#lines === 0; /* begun by the shown start of this line */
		if (!open || (!fresh && this.#breaksBefore(line, item))) this.#start("md");
		if (!open || this.#lines === 0) this.#isList = item;
		else if (this.#lines >= MD_LINES_MAX || open.text.length > MD_CHARS_MAX) this.#cut(item);
		if (fence) this.#inner = fence;
		else if (this.#isList && item) this.#inner = openingFence(line.replace(/^\s*(?:[-*+]|\d+[.)])\s+/, ""));
		this.#add(line);
		if (!this.#isList && this.#tableHead === "" && this.#lines === 2 && DELIMITER_ROW.test(line) && this.#previous.includes("|"))
			this.#tableHead = `${this.#previous}\n${line}\n`;
		this.#previous = line;
		if (HEADING.test(line) && !this.#isList) this.#close();
	}

	#breaksBefore(line: string, item: boolean): boolean {
		if (HEADING.test(line)) return true;
		if (!this.#blank) return false;
		if (this.#isList) return !item && !/^(?: {2,}|\t)/.test(line);
		return true;
	}

	/* The open block is full: go on in a new one where that cannot be seen much. */
	#cut(item: boolean): void {
		if (this.#isList && !item && this.#lines < 2 * MD_LINES_MAX) return; /* better at the next item */
		const head = this.#tableHead;
		const list = this.#isList;
		const block = this.#start("md", "", head !== "");
		this.#isList = list && item;
		if (head !== "") {
			block.text = head;
			this.#tableHead = head;
			this.#lines = 2;
		}
	}

	/* One line without an end: cut it between words. */
	#cutPending(): void {
		const space = this.#pending.lastIndexOf(" ", MD_CHARS_MAX);
		const at = space > MD_CHARS_MAX / 2 ? space + 1 : MD_CHARS_MAX;
		const part = this.#pending.slice(0, at);
		this.#pending = this.#pending.slice(at);
		this.#line(part);
		this.#close();
	}

	#add(line: string): void {
		const open = this.#open;
		if (!open) return;
		open.text += `${line}\n`;
		this.#lines++;
		this.#blank = line.trim() === "";
	}

	/* The unfinished line is shown as if it were whole; whether it begins a new block is decided
	 * when it is, except where the page would flicker (a new paragraph after a blank line). */
	#showPending(): void {
		const line = this.#pending;
		if (line === "") return;
		let open = this.#open;
		if (this.#code) {
			if (/^ {0,3}(`+|~+)$/.test(line)) return; /* may become the closing fence */
			if (open) this.#shown(open, dedent(line, this.#code.indent));
			return;
		}
		if (!this.#inner && /^ {0,3}(`{1,}|~{1,})$/.test(line)) return; /* may become a fence */
		if (!this.#inner && openingFence(line) && !this.#isList) return;
		if (!this.#inner && UNDECIDED.test(line) && (!open || this.#blank || HEADING.test(line))) return;
		const fresh = open !== null && this.#lines === 0;
		if (!open || (!fresh && !this.#inner && this.#breaksBefore(line, ITEM.test(line)))) {
			open = this.#start("md");
			this.#isList = ITEM.test(line);
		}
		this.#shown(open, line);
	}

	#shown(open: Block, line: string): void {
		open.text += line;
		this.#pendingShown = line.length;
	}

	#hidePending(): void {
		const open = this.#open;
		if (this.#pendingShown > 0 && open) open.text = open.text.slice(0, -this.#pendingShown);
		this.#pendingShown = 0;
	}
}

function openingFence(line: string): Fence | null {
	const m = FENCE.exec(line);
	if (!m || m[1] === undefined || m[2] === undefined) return null;
	const mark = m[2].charAt(0);
	if (mark === "`" && m[3]?.includes("`")) return null; /* inline code, not a fence */
	return { mark, length: m[2].length, indent: m[1].length };
}

function closes(line: string, fence: Fence): boolean {
	const t = line.trimEnd();
	const bare = t.replace(/^ {0,3}/, "");
	if (bare.length < fence.length) return false;
	for (const c of bare) if (c !== fence.mark) return false;
	return true;
}

function dedent(line: string, indent: number): string {
	let n = 0;
	while (n < indent && line[n] === " ") n++;
	return line.slice(n);
}

/* For showing an open block: ends what is begun and not yet ended (`code`, **bold**, a link), so
 * that half-written marks do not flash up. */
export function heal(text: string): string {
	const start = text.lastIndexOf("\n\n") + 1;
	let tail = text.slice(start > 0 ? start : 0);
	tail = tail.replace(/!?\[([^\][\n]*)\]\([^()\s]*$/, "$1").replace(/!?\[([^\][\n]*)$/, "$1");
	const ticks = tail.match(/`+/g) ?? [];
	if (ticks.length % 2 === 1) {
		const last = ticks[ticks.length - 1] ?? "";
		tail = tail.endsWith(last) ? tail.slice(0, -last.length) : tail + last;
	} else {
		const plain = tail.replace(/`[^`]*`/g, "");
		if ((plain.match(/\*\*/g) ?? []).length % 2 === 1) {
			const bare = tail.replace(/\s+$/, "");
			tail = bare.endsWith("**") ? bare.slice(0, -2) : `${bare.replace(/\*$/, "")}**`;
		}
	}
	return text.slice(0, start > 0 ? start : 0) + tail;
}
